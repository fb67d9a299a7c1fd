package eventloop

import "github.com/busbar-ws/busbar/eventloop/internal/poll"

// Whether a peer takes what it is sent only its acknowledgements tell. The kernel reports room in a
// socket when a third of its buffer is free (net/ipv4/tcp.c, sk_stream_write_space), which of a few
// megabytes can take a slow reader many seconds; and a peer whose window is closed acknowledges
// nothing, because probes of it carry no data.

// looksPerLagTime is how often in LagTime a laggard's acknowledgements are looked at, which costs
// a system call.
const looksPerLagTime = 4

// stuck is whether a laggard's peer has acknowledged nothing for LagTime. It is for each tick.
func (l *Loop) stuck(c *Client) bool {
	o, limit := c.queue, uint32(l.opts.Slow.LagTime/tick)
	if l.behind.lagNow-o.looked < max(limit/looksPerLagTime, 1) {
		return false
	}
	o.looked = l.behind.lagNow
	left := poll.Unacknowledged(c.fd)
	if left == 0 || left < o.unacked {
		o.progressed = l.behind.lagNow
	}
	o.unacked = left
	return l.behind.lagNow-o.progressed > limit
}

// advanceLagClock has the clock that laggards are judged by go on, to a second behind when the next
// tick is due at most: while the loop is kept from running nobody can be sent anything.
func (l *Loop) advanceLagClock() {
	if until := min(l.now, l.ticker.at+roundTicks); l.ticker.at != 0 && until > l.behind.lagRead {
		l.behind.lagNow += until - l.behind.lagRead
	}
	l.behind.lagRead = l.now
}
