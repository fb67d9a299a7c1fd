package delivery

import (
	"math"

	"github.com/busbar-ws/busbar/eventloop/internal/budget"
)

// ReplayBuffer is what has come for a client that replays, change events left out: those
// are read from the log, page by page. What isn't an event is kept here and goes out in its
// place among them, so that what one publisher published in an order is received in that
// order. Owned by the client's loop.
//
// A queued frame's place is the event that it goes out behind.
type ReplayBuffer struct {
	queue
	place uint64 // of the newest
}

// AllEvents is an upTo that no event is above.
const AllEvents = math.MaxUint64

// NewReplayBuffer makes an empty one, whose places are counted.
func NewReplayBuffer(b *budget.Budget) *ReplayBuffer { return &ReplayBuffer{queue: queue{budget: b}} }

// Keep keeps a frame back.
func (m *ReplayBuffer) Keep(f *Frame, asked bool) {
	m.place = max(m.place, f.Seq, f.after.Load())
	m.add(queued{f, m.place, asked})
}

// Merge owes a client a page of events, and what was kept back between them, behind the end of the
// broadcast log. What belongs behind events above upTo stays back.
func (m *ReplayBuffer) Merge(o *SendQueue, end uint64, page []*Frame, upTo uint64) {
	give := func(below uint64) {
		for m.Len() > 0 && m.frames[m.head].at < below {
			n := m.frames[m.head]
			m.pop()
			o.Push(n.frame, end, n.asked)
		}
	}
	for _, f := range page {
		give(f.Seq)
		o.Push(f, end, true)
	}
	if upTo < AllEvents {
		upTo++
	}
	give(upTo)
}

// End takes the buffer out of the budget.
func (m *ReplayBuffer) End() { m.uncount() }

// TakeOver empties the queue of a client at pos, which may be nil, and the broadcast log behind pos: it calls keep
// for each frame, in the order in which they came. Events that the client has asked for stay, with what is ahead of
// them.
func TakeOver(o *SendQueue, log *BroadcastLog, pos uint64, keep func(f *Frame, asked bool)) {
	var own []queued
	if o != nil {
		asked := o.head + o.askedEvents()
		var stay []queued
		stay, own = o.frames[o.head:asked], o.frames[asked:]
		o.frames = nil // before anything new may come into it
		o.empty()
		for _, n := range stay {
			o.add(n)
		}
		o.countPlaces()
	}
	to := func(end uint64) {
		for ; pos < min(end, log.end); pos++ {
			keep(log.At(pos), false)
		}
	}
	for _, n := range own {
		to(n.at)
		keep(n.frame, n.asked)
	}
	to(log.end)
}
