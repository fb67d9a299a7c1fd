package eventloop

import "math"

// A client that comes back with a cursor is first given what it has missed from the
// change log, which is read elsewhere, page by page, and is only then joined to the
// broadcast log. Until then it is replaying: what isn't a change event is kept back for it (see
// replayBuffer). While a page is read it is pinned: the broadcast log, and frames of its own, are kept
// from the position where it was pinned, so that GoLive can join it with neither gap nor
// repeat. Pinning lasts for one read of the log, not for the whole catching up, so the
// broadcast log isn't kept for long.

// pin keeps the broadcast log for the client from here on.
func (l *Loop) pin(c *Client) {
	if !c.is(flagPinned) {
		l.behind.pinned++
	}
	c.set(flagReplaying | flagPinned)
	c.pos = l.broadcasts.end
	if c.queue != nil {
		c.queue.stop, c.queue.pinned = 0, true
	}
}

func (l *Loop) unpin(c *Client) {
	if c.is(flagPinned) {
		c.unset(flagPinned)
		l.behind.pinned--
		if c.queue != nil {
			c.queue.pinned = false
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
		l.bufferPinned(c, allEvents)
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
	if l.bufferPinned(c, allEvents); c.state != open {
		return // too slow
	}
	l.unpin(c)
	l.sendMerged(c, page, upTo)
	c.set(flagDrained)
	l.markDirty(c)
}

// leaveOutEvents takes out of a pinned client's queue what the log has too.
func (o *sendQueue) leaveOutEvents() {
	kept := o.frames[o.head:]
	o.frames, o.head, o.bytes, o.asked = nil, 0, 0, 0
	for _, q := range kept {
		if q.frame.Seq == 0 {
			o.add(queued{q.frame, 0, q.asked})
		}
	}
}

// GoLive sends the last of what a pinned client has missed and joins it to the broadcast log.
// upTo is the last sequence number that page, or an earlier one, covers.
func (c *Client) GoLive(page []*Frame, upTo uint64) {
	l := c.loop
	if c.state != open || !c.is(flagPinned) {
		return
	}
	l.bufferPinned(c, upTo)
	c.ensureQueue().stop = math.MaxUint64
	l.sendMerged(c, page, allEvents)
	l.unpin(c)
	c.unset(flagReplaying)
	l.markDirty(c)
}
