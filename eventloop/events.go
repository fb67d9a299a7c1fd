package eventloop

import (
	"github.com/busbar-ws/busbar/eventloop/internal/delivery"
	"github.com/busbar-ws/busbar/eventloop/internal/poll"
)

// events is Engine as package poll sees it.
type events Engine

// Opened takes a connection in or refuses it.
func (ev *events) Opened(loop int, conn poll.Conn) (client any) {
	e := (*Engine)(ev)
	l, placed := e.loops[loop], false
	l.adopt(e.tuning.Load())
	now := l.readClock()
	c := &Client{conn: conn, loop: l, fd: conn.FD(), since: l.now, heard: uint32(delivery.MomentOf(now))}
	defer func() {
		if r := recover(); r != nil {
			l.panicked(nil, r)
		}
		if client == nil && placed {
			e.places.Leave(c.is(flagOverflow))
		}
	}()
	l.accepted(now)
	overflow, placed := e.places.Enter()
	if overflow {
		c.set(flagOverflow)
		if c.cause = CauseCapacity; e.places.Draining() {
			c.cause = CauseDraining
		}
	}
	cause := c.cause
	if placed {
		cause = l.takeIn(c)
	}
	if cause != CauseUnknown {
		l.counters.closed[cause].Add(1)
		return nil
	}
	return c
}

// takeIn begins a client's handshake, or says why not. A panic gives back what it has counted.
func (l *Loop) takeIn(c *Client) Cause {
	e, addr := l.engine, c.conn.Peer()
	fronted, unwanted := e.proxies.Peer(addr)
	counted := false
	defer func() {
		if counted {
			e.addresses.Release(addr)
		}
	}()
	switch {
	case unwanted:
		e.trouble(CauseUntrustedProxy, "a connection that comes from no trusted proxy was closed", "from", addr)
		return CauseUntrustedProxy
	case !c.is(flagOverflow) && e.places.Draining():
		return CauseDraining
	case l.handshakesFull() && !l.poller.AcceptPause().Works(): // nothing keeps them outside
		return CauseCapacity
	case !fronted && !e.admits(addr):
		return CauseAddressCap
	}
	counted = !fronted
	if !l.clients.add(c) {
		return CauseCapacity
	}
	l.counters.states[handshaking].Add(1)
	l.fanout.opened++
	l.dueBy(l.now + roundTicks)
	l.startHandshake(c)
	l.clients.sources.Set(c.slot, addr, fronted)
	counted = false // by uncount from here on
	return CauseUnknown
}

// Readable reads what has come. A panic on the way costs this connection alone.
func (ev *events) Readable(client any) (keep bool) {
	c := client.(*Client)
	l := c.loop
	l.readClock()
	l.reading = reading{client: c}
	defer func() {
		if r := recover(); r != nil {
			l.panicked(c, r)
		}
		l.reading.client = nil
		keep = !l.reading.closeAfter
	}()
	l.read(c)
	return true
}

func (l *Loop) read(c *Client) {
	if c.state == handshaking && l.introduced(c) {
		l.readHead(c)
	}
	switch {
	case c.state == handshaking || c.state == gone:
	case c.is(flagDiscardInput):
		c.conn.DiscardAll()
	case c.state == authorising:
		l.waitAuthorised(c)
	default:
		l.readFrames(c)
	}
}

// Closed gives back all that a client has.
func (ev *events) Closed(client any, err error) {
	c := client.(*Client)
	c.loop.guard(nil, func() { c.loop.ended(c, err) })
	c.loop.uncount(c)
	ev.places.Leave(c.is(flagOverflow))
}

// Drain is a turn of the loop.
func (ev *events) Drain(loop int) {
	l := ev.loops[loop]
	l.guard(nil, l.drain)
}

// Writable tells the loop that a lagging client's socket has room.
func (ev *events) Writable(loop int, slot uint32) {
	l := ev.loops[loop]
	l.wake(l.mailbox.PutWritable(slot))
}
