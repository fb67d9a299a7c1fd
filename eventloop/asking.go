package eventloop

// AskedBytes is how much of what a client has asked for (snapshots, and events that it missed) may
// wait for it before it should be given more. It bridges the time that fetching more takes; the
// kernel's buffer comes on top.
const AskedBytes = 256 << 10

// MayAsk is whether n more bytes may be fetched for the client: with them no more than AskedBytes
// would wait, the message in progress left out. While less than n have room, and something waits,
// Handler.Taken is called once there may be more.
func (c *Client) MayAsk(n int) bool {
	waits := c.loop.asked(c)
	if waits+n <= AskedBytes {
		return true
	}
	if waits > 0 {
		c.set(flagAsking)
	}
	return false
}

// asked is how much a client that has asked for it is still to be sent.
func (l *Loop) asked(c *Client) (bytes int) {
	if c.queue != nil {
		bytes = c.queue.Asked()
	}
	if m := l.behind.replays[c.slot]; m != nil {
		bytes += m.Asked()
	}
	return bytes
}

// tellTaken tells the Handler that a client has room for more of what it asks for.
func (l *Loop) tellTaken(c *Client) {
	if c.is(flagAsking) && c.state == open && l.asked(c) <= AskedBytes/2 {
		c.unset(flagAsking)
		l.guard(c, func() { l.handler.Taken(c) })
	}
}
