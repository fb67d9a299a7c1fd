package eventloop

import (
	"net"
	"net/netip"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// events is Engine as gnet sees it. gnet calls OnOpen, OnTraffic and OnClose on the
// loop of the connection, and OnTick on a goroutine of its own.
type events Engine

// OnBoot is called before any listener of the loops is open.
func (ev *events) OnBoot(g gnet.Engine) gnet.Action {
	ev.gnet = g
	return gnet.None
}

// OnShutdown is called before gnet closes its pollers, whose descriptors must not be
// written to from there on. Connections end by OnClose.
func (ev *events) OnShutdown(gnet.Engine) { ev.stopping.Store(true) }

// OnTick is called first when all loops run, and then every tick.
func (ev *events) OnTick() (time.Duration, gnet.Action) {
	ev.bootOnce.Do(func() { close(ev.booted) })
	for _, l := range ev.loops {
		if l.gnet.Load() != nil && l.ticking.CompareAndSwap(false, true) {
			l.post(task{run: (*Loop).onTick})
		}
	}
	return tick, gnet.None
}

// OnOpen takes a connection in, gives it to another loop, or refuses it. gnet has
// accepted it already: refusing here, and not at accept, is what keeps the engine alive
// when descriptors run out.
func (ev *events) OnOpen(conn gnet.Conn) (_ []byte, action gnet.Action) {
	e := (*Engine)(ev)
	counted := false // for its address, and not a client yet: OnClose won't give that back
	defer func() {
		if r := recover(); r != nil {
			e.loopFor(conn.EventLoop()).panicked(nil, r)
			if counted {
				e.addresses.release(peerAddr(conn))
			}
			action = gnet.Close
		}
	}()
	if t, ok := conn.Context().(*turn); ok {
		t.opened()
		return nil, gnet.None
	}
	l := e.loopFor(conn.EventLoop())
	n := int64(0) // what comes from another loop has its place already
	m, arrived := conn.Context().(*move)
	if arrived {
		m.opened = true
		l.counters.moved.Add(1)
		conn.SetContext(nil)
	} else {
		l.connections.Add(1)
		n = e.connections.Add(1)
	}
	addr := peerAddr(conn)
	fronted := e.opts.fronted(addr)
	switch {
	case e.draining.Load():
		return l.turnAway(CauseDraining)
	case n > int64(e.capacity.Connections):
		return l.turnAway(CauseCapacity)
	case e.opts.uninvited(addr):
		e.proxyTrouble(CauseUntrustedProxy, "a connection that comes from no trusted proxy was closed", "from", addr)
		return l.turnAway(CauseUntrustedProxy)
	case !arrived && l.giveAway(conn):
		return nil, gnet.Close
	case !fronted && !e.addresses.acquire(addr):
		return l.turnAway(CauseAddressCap)
	}
	counted = !fronted
	l.opened++
	l.readClock()
	c := &Client{conn: conn, loop: l, fd: int32(conn.Fd()), since: l.now, heard: l.now}
	if !l.roster.add(c) {
		if !fronted {
			e.addresses.release(addr)
		}
		return l.turnAway(CauseCapacity)
	}
	if fronted {
		l.awaitHeader(c)
	}
	conn.SetContext(c)
	counted = false
	e.setOptions(int(c.fd))
	return nil, gnet.None
}

// turnAway closes a connection that has no Client; OnClose gives its place back.
func (l *Loop) turnAway(cause Cause) ([]byte, gnet.Action) {
	l.counters.closed[cause].Add(1)
	return nil, gnet.Close
}

// OnTraffic reads what has come. A panic on the way costs this connection alone.
func (ev *events) OnTraffic(conn gnet.Conn) (action gnet.Action) {
	c, _ := conn.Context().(*Client)
	if c == nil {
		if t, ok := conn.Context().(*turn); ok {
			t.read(conn)
			return gnet.None
		}
		return gnet.Close
	}
	l := c.loop
	l.current, l.doomed = c, false
	defer func() {
		if r := recover(); r != nil {
			l.panicked(c, r)
		}
		l.current = nil
		if l.doomed {
			action = gnet.Close
		}
	}()
	l.read(c)
	return gnet.None
}

func (l *Loop) read(c *Client) {
	if c.state == handshaking && l.introduced(c) {
		l.readHead(c)
	}
	switch {
	case c.state == handshaking || c.state == gone:
	case c.is(flagDeaf):
		_, _ = c.conn.Discard(-1)
	case c.state == authorising:
		l.waitAuthorised(c)
	default:
		l.readFrames(c)
	}
}

// OnClose is called for every connection that OnOpen was called for.
func (ev *events) OnClose(conn gnet.Conn, err error) gnet.Action {
	e := (*Engine)(ev)
	switch c := conn.Context().(type) {
	case movedAway:
		return gnet.None
	case *turn:
		c.loop.turn = nil
		return gnet.None
	case *Client:
		c.loop.guard(nil, func() { c.loop.ended(c, err) })
		c.loop.uncount(c)
		c.state = gone // after a panic too: its descriptor will be somebody else's
	}
	e.loopFor(conn.EventLoop()).connections.Add(-1)
	e.connections.Add(-1)
	e.checkEmpty()
	return gnet.None
}

// wakeUp is a task of gnet's that drains a loop's mailbox.
type wakeUp struct{ loop *Loop }

// loopFor finds the Loop of a gnet loop; each gets the next one when first seen.
func (e *Engine) loopFor(el gnet.EventLoop) *Loop {
	if l, ok := e.byGnet.Load(el); ok {
		return l.(*Loop)
	}
	l := e.loops[e.joined.Add(1)-1]
	e.byGnet.Store(el, l)
	l.gnet.Store(&el)
	e.openTurnSoon(l)
	return l
}

// setOptions tunes an accepted socket. TCP_USER_TIMEOUT covers what pings can't: a
// peer that has vanished while data waits for it (tcp(7)).
func (e *Engine) setOptions(fd int) {
	dead := e.opts.PingInterval + e.opts.PongTimeout
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(dead/time.Millisecond))
	if e.opts.NotSentLowat > 0 {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, e.opts.NotSentLowat)
	}
}

func peerAddr(conn gnet.Conn) netip.Addr {
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
