package delivery

// Lag is how a client lags whose socket is full. Whether its peer takes what it is sent only its acknowledgements
// tell. The kernel reports room in a socket when a third of its buffer is free (net/ipv4/tcp.c,
// sk_stream_write_space), which of a few megabytes can take a slow reader many seconds; and a peer whose
// window is closed acknowledges nothing, because probes of it carry no data. Times are by the loop's lag clock.
type Lag struct {
	Index      int    // place among the loop's laggards while waiting
	Waiting    bool   // for the socket to be writable: the client lags
	Ready      bool   // it is, or may be
	Unacked    uint32 // bytes that the peer hadn't acknowledged when it was last looked at, and those sent since
	Looked     uint32 // when that was, while waiting
	Progressed uint32 // when the peer was last found to have acknowledged something
}

// looksPerLimit is how often in the time that a peer has a laggard's acknowledgements are looked at, which costs
// a system call.
const looksPerLimit = 4

// IsLookDue is whether they are to be looked at again.
func (g *Lag) IsLookDue(now, limit uint32) bool {
	return now-g.Looked >= max(limit/looksPerLimit, 1)
}

// Look notes how many bytes aren't acknowledged, and is whether none was for longer than the limit.
func (g *Lag) Look(now, left, limit uint32) (stuck bool) {
	g.Looked = now
	if left == 0 || left < g.Unacked {
		g.Progressed = now
	}
	g.Unacked = left
	return now-g.Progressed > limit
}
