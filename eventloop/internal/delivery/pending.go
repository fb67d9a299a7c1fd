package delivery

import "slices"

// Pending is a subscription whose authorisation is under way. It is in the index already, so that no
// update can be missed, but what arrives for it is kept here until the snapshot is there.
//
// What has no place among stored snapshots (Frame.Row) is in each snapshot that is fetched from then on. Of the rest an
// update is nowhere but here.
type Pending struct {
	Ticket uint64
	Frames []*Frame
	Bytes  int
	Lost   bool // the snapshot that is being fetched is of no use: a newer one is needed

	// Live is for a client that was subscribed already. What has no place it is sent at once, and again behind the
	// snapshot.
	Live bool
}

// PendingKey is whose it is, by slot, and to what.
type PendingKey struct {
	Slot uint32
	Name string
}

// Keep keeps a frame, unless it is in the snapshot that will come.
func (p *Pending) Keep(f *Frame) {
	if !p.Lost || f.Row != nil {
		p.Frames = append(p.Frames, f)
		p.Bytes += f.Size()
	}
}

// Renew has a newer snapshot asked for, and lets go of what will be in it.
func (p *Pending) Renew() {
	p.Lost = true
	p.drop(func(f *Frame) bool { return f.Row == nil })
}

// Supersede lets go of what a snapshot that comes behind it has, f or one that is kept, and says how many frames that were.
func (p *Pending) Supersede(f *Frame) int {
	newest := uint64(0)
	note := func(f *Frame) {
		if f.Row != nil && f.Row.Snapshot {
			newest = max(newest, f.Row.Version)
		}
	}
	for _, f := range p.Frames {
		note(f)
	}
	note(f)
	return p.drop(func(f *Frame) bool { return f.Row != nil && f.Row.Version < newest })
}

// Overflow lets go of all, and has a newer snapshot asked for. It is whether that won't have all of it.
func (p *Pending) Overflow() (missed bool) {
	p.Lost = true
	p.drop(func(f *Frame) bool {
		missed = missed || f.Row != nil && !f.Row.Snapshot
		return true
	})
	return missed
}

func (p *Pending) drop(goes func(*Frame) bool) (n int) {
	n = len(p.Frames)
	p.Frames = slices.DeleteFunc(p.Frames, func(f *Frame) bool {
		if !goes(f) {
			return false
		}
		p.Bytes -= f.Size()
		return true
	})
	return n - len(p.Frames)
}

// Sent is whether a client that was subscribed is sent a frame at once.
func (p *Pending) Sent(f *Frame) bool { return p.Live && f.Row == nil }
