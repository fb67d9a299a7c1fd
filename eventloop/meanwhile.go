package eventloop

import (
	"math"
	"slices"
)

// meanwhile is what has come for a client that stands apart, change events left out: those
// are read from the log, page by page. What isn't an event is kept here and goes out in its
// place among them, so that what one publisher published in an order is received in that
// order. Owned by the client's loop, which has one for each client that needs it.
//
// Invariant: only open clients have one. It goes by slot, which will be somebody else's.
type meanwhile struct {
	kept  []queued // oldest first, each behind the event at; held once by the loop's holds
	place uint64   // of the newest
	bytes int      // uncompressed, without
	asked int      // those that the client asked for
}

// keepBack keeps a frame that an open client is to get behind the events up to its place. A
// client for which more than LagBytes wait is too slow, or loses the oldest; one that has
// asked for more than AskedBytes is too slow.
func (l *Loop) keepBack(c *Client, f *Frame, asked bool) {
	m := l.meanwhile[c.slot]
	limit := l.opts.LagBytes
	if asked {
		limit = l.opts.AskedBytes
	}
	switch {
	case c.state != open:
		return // it was too slow a moment ago
	case m == nil || *m.account(asked) == 0 || *m.account(asked)+len(f.wire) <= limit:
	case asked || l.opts.Slow == Disconnect:
		l.tooSlow(c)
		return
	default:
		var dropped int
		m.kept, dropped = dropOldest(m.kept, &m.bytes, limit/2-len(f.wire), l.holds.release)
		l.counters.lagDropped.Add(uint64(dropped))
		c.set(flagOverflow)
	}
	l.keep(c, f, asked)
}

func (l *Loop) keep(c *Client, f *Frame, asked bool) {
	if l.meanwhile == nil {
		l.meanwhile = make(map[uint32]*meanwhile)
	}
	m := l.meanwhile[c.slot]
	if m == nil {
		m = &meanwhile{}
		l.meanwhile[c.slot] = m
	}
	f.seal()
	l.holds.take(f)
	m.place = max(m.place, f.Seq, f.after.Load())
	m.kept = append(m.kept, queued{f, m.place, asked})
	*m.account(asked) += len(f.wire)
}

func (m *meanwhile) account(asked bool) *int {
	if asked {
		return &m.asked
	}
	return &m.bytes
}

// keptBack is whether anything is.
func (l *Loop) keptBack(c *Client) bool { return l.meanwhile[c.slot] != nil }

// forgetMeanwhile lets go of what was kept back for a client.
func (l *Loop) forgetMeanwhile(c *Client) {
	m := l.meanwhile[c.slot]
	if m == nil {
		return
	}
	for _, k := range m.kept {
		l.holds.release(k.frame)
	}
	if delete(l.meanwhile, c.slot); len(l.meanwhile) == 0 {
		l.meanwhile = nil // a map never shrinks
	}
}

// accompany brings a client that stands apart, and isn't held, to the feed's end: what isn't
// an event is kept back for it.
func (l *Loop) accompany(c *Client) {
	l.overrun(c)
	for c.pos < l.feed.end && c.state == open {
		if f := l.feed.at(c.pos); f.Seq == 0 {
			l.keepBack(c, f, false)
		}
		c.pos++
	}
}

// overrun notes what a client that stands apart can't be given any more.
func (l *Loop) overrun(c *Client) {
	if c.pos < l.feed.first {
		l.counters.lagDropped.Add(l.feed.first - c.pos)
		c.pos = l.feed.first
		c.set(flagOverflow)
	}
}

// collect is accompany for a held client, with what its own queue has: there everything stands
// in its order. Events up to upTo are left out; above it there are some only when the client
// is about to follow the feed, which bounds what it is owed.
func (l *Loop) collect(c *Client, upTo uint64) {
	l.overrun(c)
	keep := func(f *Frame, asked bool) {
		switch {
		case c.state != open || f.Seq > 0 && f.Seq <= upTo:
		case upTo < allEvents:
			l.keep(c, f, asked)
		default:
			l.keepBack(c, f, asked)
		}
	}
	feedTo := func(end uint64) {
		for ; c.pos < min(end, l.feed.end) && c.state == open; c.pos++ {
			keep(l.feed.at(c.pos), false)
		}
	}
	if o := c.out; o != nil {
		own := slices.Clone(o.queue[o.head:])
		o.forget() // before a Close may come into it
		for _, q := range own {
			feedTo(q.at)
			keep(q.frame, q.asked)
		}
	}
	feedTo(l.feed.end)
}

// allEvents is an upTo that leaves out every event.
const allEvents = math.MaxUint64

// weave queues a page of events, and what was kept back between them. What belongs behind
// events above upTo stays back.
func (l *Loop) weave(c *Client, page []*Frame, upTo uint64) {
	o, m := c.box(), l.meanwhile[c.slot]
	if m == nil {
		m = &meanwhile{}
	}
	o.park()
	next := 0
	give := func(below uint64) {
		for ; next < len(m.kept) && m.kept[next].at < below; next++ {
			k := m.kept[next]
			o.add(queued{k.frame, l.feed.end, k.asked})
			*m.account(k.asked) -= len(k.frame.wire)
			l.holds.release(k.frame)
		}
	}
	for _, f := range page {
		give(f.Seq)
		o.pushAsked(f, l.feed.end)
	}
	if upTo < allEvents {
		upTo++
	}
	give(upTo)
	rest := copy(m.kept, m.kept[next:])
	clear(m.kept[rest:])
	if m.kept = m.kept[:rest]; rest == 0 {
		l.forgetMeanwhile(c)
	}
}
