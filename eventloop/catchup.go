package eventloop

import "math"

// A client that comes back with a cursor is first given what it has missed from the
// change log, which is read elsewhere, page by page, and is only then joined to the
// feed. Until then it stands apart: what isn't a change event is kept back for it (see
// meanwhile). While a page is read it is held: the feed, and frames of its own, are kept
// from the position where it was held, so that Release can join it with neither gap nor
// repeat. Holding lasts for one read of the log, not for the whole catching up, so the
// feed isn't kept for long.

// hold keeps the feed for the client from here on.
func (l *Loop) hold(c *Client) {
	if !c.is(flagHeld) {
		l.held++
	}
	c.set(flagApart | flagHeld)
	c.pos = l.feed.end
	if c.out != nil {
		c.out.stop, c.out.sealed = 0, true
		c.out.park()
	}
}

func (l *Loop) unhold(c *Client) {
	if c.is(flagHeld) {
		c.unset(flagHeld)
		l.held--
		if c.out != nil {
			c.out.sealed = false
		}
	}
}

// Hold keeps what is broadcast from here on for a client that stands apart, until
// CatchUp or Release.
func (c *Client) Hold() {
	l := c.loop
	if c.state != open || !c.is(flagApart) {
		return
	}
	if c.is(flagHeld) {
		l.collect(c, allEvents)
		return
	}
	l.accompany(c)
	if c.state == open {
		l.hold(c)
	}
}

// CatchUp sends a page of what a held client has missed, and doesn't join it yet: there
// is more to come behind the event upTo. Handler.Drained is called when the page is out.
func (c *Client) CatchUp(page []*Frame, upTo uint64) {
	l := c.loop
	if c.state != open || !c.is(flagHeld) {
		return
	}
	if l.collect(c, allEvents); c.state != open {
		return // too slow
	}
	l.unhold(c)
	l.weave(c, page, upTo)
	c.set(flagDrained)
	l.markDirty(c)
}

// leaveOutEvents takes out of a held client's queue what the log has too.
func (o *outbox) leaveOutEvents() {
	kept := o.queue[o.head:]
	o.letGoAll()
	o.queue, o.head, o.bytes, o.asked = nil, 0, 0, 0
	for _, q := range kept {
		if q.frame.Seq == 0 {
			o.add(queued{q.frame, 0, q.asked})
		}
	}
}

// Release sends the last of what a held client has missed and joins it to the feed.
// upTo is the last sequence number that page, or an earlier one, covers.
func (c *Client) Release(page []*Frame, upTo uint64) {
	l := c.loop
	if c.state != open || !c.is(flagHeld) {
		return
	}
	l.collect(c, upTo)
	c.box().stop = math.MaxUint64
	l.weave(c, page, allEvents)
	l.unhold(c)
	c.unset(flagApart)
	l.markDirty(c)
}
