package eventloop

import (
	"math"
	"net"
	"net/netip"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"github.com/busbar-ws/busbar/eventloop/internal/poll"
)

// events is Engine as gnet sees it. gnet calls OnOpen, OnTraffic and OnClose on the
// loop of the connection, and OnTick, once, on a goroutine of its own.
type events Engine

// OnBoot is called before any listener of the loops is open.
func (ev *events) OnBoot(g gnet.Engine) gnet.Action {
	ev.gnet.engine = g
	return gnet.None
}

// OnShutdown is called before gnet ends its loops and closes their descriptors, which must not
// be written to from there on. Connections end by OnClose.
func (ev *events) OnShutdown(gnet.Engine) {
	(*Engine)(ev).endWakes()
	ev.acceptPauses.End()
}

// OnTick is called when all loops run. The loops have ticks of their own, and only while there is something to
// look at: a server without clients sleeps.
func (ev *events) OnTick() (time.Duration, gnet.Action) {
	ev.lifecycle.bootOnce.Do(func() {
		(*Engine)(ev).findAcceptPauses()
		(*Engine)(ev).watchDescriptors()
		close(ev.lifecycle.booted)
	})
	return math.MaxInt64, gnet.None
}

// OnOpen takes a connection in or refuses it.
func (ev *events) OnOpen(conn gnet.Conn) (_ []byte, action gnet.Action) {
	e := (*Engine)(ev)
	var placed *Client // counted, and perhaps not known to gnet: OnClose won't give that back
	defer func() {
		if r := recover(); r != nil {
			e.loopFor(conn.EventLoop()).panicked(nil, r)
			if placed != nil && conn.Context() != placed {
				e.places.Leave(placed.is(flagOverflow))
			}
			action = gnet.Close
		}
	}()
	if t, ok := conn.Context().(*yielder); ok {
		t.opened()
		return nil, gnet.None
	}
	l := e.loopFor(conn.EventLoop())
	now := l.readClock()
	c := &Client{conn: conn, loop: l, fd: int32(conn.Fd()), since: l.now, heard: l.now}
	l.accepted(now)
	overflow, ok := e.places.Enter()
	if overflow {
		c.set(flagOverflow)
		if c.cause = CauseCapacity; e.places.Draining() {
			c.cause = CauseDraining
		}
	}
	if !ok {
		return abortNew(c, c.cause)
	}
	placed = c
	if cause := l.takeIn(c); cause != CauseUnknown {
		e.places.Leave(c.is(flagOverflow))
		return abortNew(c, cause)
	}
	return nil, gnet.None
}

// takeIn begins a client's handshake, or says why not. A panic gives back what it has counted.
func (l *Loop) takeIn(c *Client) Cause {
	e, addr := l.engine, peerAddr(c.conn)
	fronted, unwanted := e.proxies.Peer(addr)
	counted := false
	defer func() {
		if counted && c.conn.Context() != c {
			e.addresses.Release(addr)
		}
	}()
	switch {
	case unwanted:
		e.trouble(CauseUntrustedProxy, "a connection that comes from no trusted proxy was closed", "from", addr)
		return CauseUntrustedProxy
	case !c.is(flagOverflow) && e.places.Draining():
		return CauseDraining
	case l.accepting.pause.Load() == nil && l.accepting.handshakes.count >= l.opts.Accept.MaxHandshakes: // nothing keeps them outside
		return CauseCapacity
	case !fronted && !e.admits(addr):
		return CauseAddressCap
	}
	counted = !fronted
	if !l.clients.add(c) {
		return CauseCapacity
	}
	l.fanout.opened++
	l.dueBy(l.now + roundTicks)
	l.startHandshake(c)
	l.clients.sources.Set(c.slot, addr, fronted)
	c.conn.SetContext(c)
	poll.Trim(c.conn)
	e.setOptions(int(c.fd))
	return CauseUnknown
}

// abortedNew is the context of a connection that nothing has to be given back for.
type abortedNew struct{}

// abortNew closes a connection without a word.
func abortNew(c *Client, cause Cause) ([]byte, gnet.Action) {
	c.loop.counters.closed[cause].Add(1)
	c.conn.SetContext(abortedNew{})
	return nil, gnet.Close
}

// OnTraffic reads what has come. A panic on the way costs this connection alone.
func (ev *events) OnTraffic(conn gnet.Conn) (action gnet.Action) {
	c, _ := conn.Context().(*Client)
	if c == nil {
		if t, ok := conn.Context().(*yielder); ok {
			t.read(conn)
			return gnet.None
		}
		return gnet.Close
	}
	l := c.loop
	l.readClock()
	l.reading.client, l.reading.closeAfter = c, false
	defer func() {
		if r := recover(); r != nil {
			l.panicked(c, r)
		}
		l.reading.client = nil
		if l.reading.closeAfter {
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
	case c.is(flagDiscardInput):
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
	case *yielder:
		c.loop.waking.yielder = nil
	case *Client:
		c.loop.guard(nil, func() { c.loop.ended(c, err) })
		c.loop.uncount(c)
		c.loop.forceGone(c)
		e.places.Leave(c.is(flagOverflow))
	}
	return gnet.None
}

// wakeUp is a task of gnet's that drains a loop's mailbox.
type wakeUp struct{ loop *Loop }

// loopFor finds the Loop of a gnet loop; each gets the next one when first seen.
func (e *Engine) loopFor(el gnet.EventLoop) *Loop {
	if l, ok := e.gnet.loops.Load(el); ok {
		return l.(*Loop)
	}
	l := e.loops[e.gnet.joined.Add(1)-1]
	e.gnet.loops.Store(el, l)
	l.waking.gnet.Store(&el)
	e.openYielderSoon(l)
	return l
}

// setOptions tunes an accepted socket. TCP_USER_TIMEOUT covers what pings can't: a
// peer that has vanished while data waits for it (tcp(7)).
func (e *Engine) setOptions(fd int) {
	dead := e.opts.Timeouts.PingInterval + e.opts.Timeouts.Pong
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
