package delivery

// Pending is a subscription whose authorisation is under way. It is in the index already, so that no
// update can be missed, but what arrives for it is kept here until the snapshot is there.
type Pending struct {
	Ticket uint64
	Frames []*Frame
	Bytes  int
	Lost   bool // something came that isn't kept: a newer snapshot is needed

	// Live is for a client that was subscribed already. What has no place among the row's frames it is sent at once,
	// and again behind the snapshot; the rest at once too when it is more than can be kept.
	Live, Ahead bool
}

// PendingKey is whose it is, by slot, and to what.
type PendingKey struct {
	Slot uint32
	Name string
}

// Keep keeps a frame, unless one was lost before it.
func (p *Pending) Keep(f *Frame) {
	if !p.Lost {
		p.Frames = append(p.Frames, f)
		p.Bytes += f.Size()
	}
}

// Sent is whether a client that was subscribed is sent a frame at once.
func (p *Pending) Sent(f *Frame) bool {
	return p.Live && (p.Ahead || f.Row == nil)
}
