package eventloop

import (
	"github.com/busbar-ws/busbar/eventloop/internal/delivery"
	"github.com/busbar-ws/busbar/wsproto"
)

// A client that comes back with a cursor is first given what it has missed from the
// change log, which is read elsewhere, page by page, and is only then joined to the
// broadcast log. Until then it is replaying: what isn't a change event is kept back for it (see
// delivery.ReplayBuffer). While a page is read it is pinned: the broadcast log, and frames of its own, are kept
// from the position where it was pinned, so that GoLive can join it with neither gap nor
// repeat. Pinning lasts for one read of the log, not for the whole catching up, so the
// broadcast log isn't kept for long.

// pin keeps the broadcast log for the client from here on.
func (l *Loop) pin(c *Client) {
	if !c.is(flagPinned) {
		l.behind.pinned++
	}
	c.set(flagReplaying | flagPinned)
	c.pos = l.broadcasts.End()
	if c.queue != nil {
		c.queue.Pin()
	}
}

func (l *Loop) unpin(c *Client) {
	if c.is(flagPinned) {
		c.unset(flagPinned | flagAgain)
		l.behind.pinned--
		if c.queue != nil {
			c.queue.Unpin()
		}
	}
}

// PinReplay keeps what is broadcast from here on for a replaying client, until
// SendPage or GoLive.
func (c *Client) PinReplay() {
	l := c.loop
	if c.state != open || !c.is(flagReplaying) {
		return
	}
	if c.is(flagPinned) {
		l.bufferPinned(c, delivery.AllEvents)
		c.unset(flagAgain)
		return
	}
	l.bufferBroadcasts(c)
	if c.state == open {
		l.pin(c)
	}
}

// SendPage sends a page of what a pinned client has missed, and doesn't join it yet: there
// is more to come behind the event upTo. Handler.Drained is called when the page is out.
func (c *Client) SendPage(page []*Frame, upTo uint64) {
	l := c.loop
	if c.state != open || !c.is(flagPinned) {
		return
	}
	if l.bufferPinned(c, delivery.AllEvents); c.state != open {
		return // too slow
	}
	l.unpin(c)
	l.sendMerged(c, page, upTo)
	c.set(flagDrained)
	l.markDirty(c)
}

// GoLive sends the last of what a pinned client has missed and joins it to the broadcast log.
// upTo is the last sequence number that page, or an earlier one, covers. When more events have come meanwhile than
// are kept, the client isn't joined: it is sent the page, and there is more to come, as by SendPage.
func (c *Client) GoLive(page []*Frame, upTo uint64) {
	l := c.loop
	if c.state != open || !c.is(flagPinned) {
		return
	}
	l.broadcasts.PassEvent(upTo) // what comes from here on is above it
	if l.skipTrimmed(c); c.is(flagAgain) {
		c.SendPage(page, upTo)
		return
	}
	l.bufferPinned(c, upTo)
	c.ensureQueue().Follow()
	l.sendMerged(c, page, delivery.AllEvents)
	l.unpin(c)
	c.unset(flagReplaying)
	l.markDirty(c)
}

// bufferForReplay keeps a frame that an open client is to get behind the events up to its place. A
// client for which more than LagBytes wait that it hasn't asked for is too slow, or loses the
// oldest.
func (l *Loop) bufferForReplay(c *Client, f *Frame, asked bool) {
	if c.state != open { // it was too slow a moment ago
		l.account.loseFrame(LossClosed, f)
		return
	}
	m := l.behind.replays[c.slot]
	fits, superseded := true, 0
	if !asked && m != nil {
		fits, superseded = m.Fits(f, l.opts.Slow.LagBytes)
		l.counters.LagSuperseded.Add(uint64(superseded))
		l.account.replace(bySnapshot, superseded)
	}
	switch {
	case fits:
	case l.opts.Slow.Policy == Disconnect:
		l.close(c, wsproto.StatusTryAgainLater, "too slow", CauseSlow)
		l.account.loseFrame(LossClosed, f)
		return
	default:
		had := m.Kinds()
		d := m.DropOldest(l.opts.Slow.LagBytes / 2)
		had.Less(m.Kinds())
		l.account.lose(LossSlow, had)
		l.lost(c, d.Frames, Gap{})
		if d.Others {
			c.set(flagLost)
		}
	}
	l.replayBuffer(c).Keep(f, asked)
}

// replayBuffer is the client's replay buffer, made when there is none. Only an open client may have
// one: it goes by slot, which will be somebody else's.
func (l *Loop) replayBuffer(c *Client) *delivery.ReplayBuffer {
	m := l.behind.replays[c.slot]
	if m == nil {
		if l.behind.replays == nil {
			l.behind.replays = make(map[uint32]*delivery.ReplayBuffer)
		}
		m = delivery.NewReplayBuffer(l.engine.budget)
		l.behind.replays[c.slot] = m
	}
	return m
}

// dropReplayBuffer lets go of what was kept back for a client.
func (l *Loop) dropReplayBuffer(c *Client) {
	m := l.behind.replays[c.slot]
	if m == nil {
		return
	}
	m.End()
	if delete(l.behind.replays, c.slot); len(l.behind.replays) == 0 {
		l.behind.replays = nil // a map never shrinks
	}
}

// bufferBroadcasts brings a client that replays, and isn't pinned, to the log's end: what isn't
// an event is kept back for it.
func (l *Loop) bufferBroadcasts(c *Client) { l.takeOver(c, nil, delivery.AllEvents) }

// skipTrimmed notes what a client that replays can't be given any more. Events it is given from the change log.
func (l *Loop) skipTrimmed(c *Client) {
	first := l.broadcasts.First()
	if c.pos >= first {
		return
	}
	event, others := l.broadcasts.Gone(c.pos)
	if others {
		l.lost(c, int(first-c.pos), Gap{})
		c.set(flagLost)
	}
	if event > 0 && c.is(flagPinned) {
		c.set(flagAgain)
	}
	c.pos = first
}

// bufferPinned is bufferBroadcasts for a pinned client, with what its own queue has: there everything stands
// in its order. Events up to upTo are left out; above it there are some only when the client
// is about to follow the broadcast log, which bounds what it is owed.
func (l *Loop) bufferPinned(c *Client, upTo uint64) {
	var own *delivery.SendQueue
	if c.queue != nil {
		own = c.queue
	}
	l.takeOver(c, own, upTo)
}

func (l *Loop) takeOver(c *Client, own *delivery.SendQueue, upTo uint64) {
	l.skipTrimmed(c)
	from := c.pos
	c.pos = l.broadcasts.End()
	delivery.TakeOver(own, &l.broadcasts, from, func(f *Frame, asked bool) {
		switch {
		case f.Seq > 0 && f.Seq <= upTo:
			l.account.replace(byChangeLog, 1)
		case upTo < delivery.AllEvents:
			l.replayBuffer(c).Keep(f, asked)
		default:
			l.bufferForReplay(c, f, asked)
		}
	})
}

// sendMerged queues a page of events, and what was kept back between them. What belongs behind
// events above upTo stays back.
func (l *Loop) sendMerged(c *Client, page []*Frame, upTo uint64) {
	for _, f := range page {
		l.engine.Count(f)
	}
	l.account.owed += uint64(len(page))
	m := l.replayBuffer(c)
	m.Merge(c.ensureQueue(), l.broadcasts.End(), page, upTo)
	if m.Len() == 0 {
		l.dropReplayBuffer(c)
	}
}
