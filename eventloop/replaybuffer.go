package eventloop

import (
	"math"
	"slices"

	"github.com/busbar-ws/busbar/eventloop/internal/budget"
)

// replayBuffer is what has come for a replaying client, change events left out: those
// are read from the log, page by page. What isn't an event is kept here and goes out in its
// place among them, so that what one publisher published in an order is received in that
// order. Owned by the client's loop, which has one for each client that needs it.
//
// Invariant: only open clients have one. It goes by slot, which will be somebody else's.
type replayBuffer struct {
	frames []queued // oldest first, each behind the event at
	places int      // in frames, that the budget knows of
	place  uint64   // of the newest
	bytes  int      // uncompressed, without
	asked  int      // those that the client asked for
}

// bufferForReplay keeps a frame that an open client is to get behind the events up to its place. A
// client for which more than LagBytes wait that it hasn't asked for is too slow, or loses the
// oldest.
func (l *Loop) bufferForReplay(c *Client, f *Frame, asked bool) {
	m := l.behind.replays[c.slot]
	switch {
	case c.state != open:
		return // it was too slow a moment ago
	case asked || m == nil || !tooMuch(m.frames, m.bytes, len(f.wire), l.opts.Slow.LagBytes):
	case l.opts.Slow.Policy == Disconnect:
		l.closeSlow(c)
		return
	default:
		var dropped int
		m.frames, dropped = dropOldest(m.frames, &m.bytes, l.opts.Slow.LagBytes/2)
		l.counters.lagDropped.Add(uint64(dropped))
		c.set(flagLost)
	}
	l.appendToReplay(c, f, asked)
}

func (l *Loop) appendToReplay(c *Client, f *Frame, asked bool) {
	if l.behind.replays == nil {
		l.behind.replays = make(map[uint32]*replayBuffer)
	}
	m := l.behind.replays[c.slot]
	if m == nil {
		m = &replayBuffer{}
		l.behind.replays[c.slot] = m
	}
	f.seal()
	m.place = max(m.place, f.Seq, f.after.Load())
	m.frames = append(m.frames, queued{f, m.place, asked})
	if now := cap(m.frames); now != m.places {
		l.engine.budget.Add(budget.Queues, int64(now-m.places)*queuedBytes)
		m.places = now
	}
	*m.bytesOf(asked) += len(f.wire)
}

func (m *replayBuffer) bytesOf(asked bool) *int {
	if asked {
		return &m.asked
	}
	return &m.bytes
}

// dropReplayBuffer lets go of what was kept back for a client.
func (l *Loop) dropReplayBuffer(c *Client) {
	m := l.behind.replays[c.slot]
	if m == nil {
		return
	}
	l.engine.budget.Add(budget.Queues, -int64(m.places)*queuedBytes)
	if delete(l.behind.replays, c.slot); len(l.behind.replays) == 0 {
		l.behind.replays = nil // a map never shrinks
	}
}

// bufferBroadcasts brings a client that replays, and isn't pinned, to the log's end: what isn't
// an event is kept back for it.
func (l *Loop) bufferBroadcasts(c *Client) {
	l.skipTrimmed(c)
	for c.pos < l.broadcasts.end && c.state == open {
		if f := l.broadcasts.at(c.pos); f.Seq == 0 {
			l.bufferForReplay(c, f, false)
		}
		c.pos++
	}
}

// skipTrimmed notes what a replaying client can't be given any more.
func (l *Loop) skipTrimmed(c *Client) {
	if c.pos < l.broadcasts.first {
		l.counters.lagDropped.Add(l.broadcasts.first - c.pos)
		c.pos = l.broadcasts.first
		c.set(flagLost)
	}
}

// bufferPinned is bufferBroadcasts for a pinned client, with what its own queue has: there everything stands
// in its order. Events up to upTo are left out; above it there are some only when the client
// is about to follow the broadcast log, which bounds what it is owed.
func (l *Loop) bufferPinned(c *Client, upTo uint64) {
	l.skipTrimmed(c)
	keep := func(f *Frame, asked bool) {
		switch {
		case c.state != open || f.Seq > 0 && f.Seq <= upTo:
		case upTo < allEvents:
			l.appendToReplay(c, f, asked)
		default:
			l.bufferForReplay(c, f, asked)
		}
	}
	feedTo := func(end uint64) {
		for ; c.pos < min(end, l.broadcasts.end) && c.state == open; c.pos++ {
			keep(l.broadcasts.at(c.pos), false)
		}
	}
	if o := c.queue; o != nil {
		own := slices.Clone(o.frames[o.head:])
		o.forget() // before a Close may come into it
		for _, q := range own {
			feedTo(q.at)
			keep(q.frame, q.asked)
		}
	}
	feedTo(l.broadcasts.end)
}

// allEvents is an upTo that leaves out every event.
const allEvents = math.MaxUint64

// sendMerged queues a page of events, and what was kept back between them. What belongs behind
// events above upTo stays back.
func (l *Loop) sendMerged(c *Client, page []*Frame, upTo uint64) {
	o, m := c.ensureQueue(), l.behind.replays[c.slot]
	if m == nil {
		m = &replayBuffer{}
	}
	next := 0
	give := func(below uint64) {
		for ; next < len(m.frames) && m.frames[next].at < below; next++ {
			k := m.frames[next]
			o.add(queued{k.frame, l.broadcasts.end, k.asked})
			*m.bytesOf(k.asked) -= len(k.frame.wire)
		}
	}
	for _, f := range page {
		l.engine.Count(f)
		give(f.Seq)
		o.pushAsked(f, l.broadcasts.end)
	}
	if upTo < allEvents {
		upTo++
	}
	give(upTo)
	rest := copy(m.frames, m.frames[next:])
	clear(m.frames[rest:])
	if m.frames = m.frames[:rest]; rest == 0 {
		l.dropReplayBuffer(c)
	}
}
