package eventloop

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"github.com/busbar-ws/busbar/internal/wstest"
	"github.com/busbar-ws/busbar/wsproto"
)

// These tests bring connections into each state that there is and then do to each of them
// what a network or a hostile peer can do. Whatever it is ends the connection, within a
// bound, counts one cause, gives everything back, and is nothing to the one beside it.

// happening is what is done to a connection.
type happening struct {
	name string
	// prompt events end a connection at once, though all timeouts are far away. The
	// others are noticed by timeouts alone, which are short then.
	prompt bool
	do     func(*peer)
}

var happenings = []happening{
	{"FIN", true, func(p *peer) { // half-close: it goes on reading
		must(p.T, p.Conn.(*net.TCPConn).CloseWrite())
		p.readOn()
	}},
	{"RST", true, (*peer).reset},
	{"junk", true, func(p *peer) {
		junk := make([]byte, 32<<10)
		for i := range junk {
			junk[i] = 0xff
		}
		_, _ = p.Write(junk) // it may be broken off
		p.readOn()
	}},
	{"silence", false, func(*peer) {}},
	{vanishedHost, false, (*peer).vanish},
	{"urgent data", false, func(p *peer) { p.sendUrgent('!') }},
}

const vanishedHost = "vanished host"

// readOn reads to the end, and then closes.
func (p *peer) readOn() {
	go func() {
		_, _ = io.Copy(io.Discard, p.R)
		p.Close()
	}()
}

// vanish makes the peer's host silent, as a cable that is pulled out does: a filter on its
// socket that takes no byte of a packet has the kernel drop every segment before TCP
// sees it (net/ipv4/tcp_ipv4.c, tcp_filter), so that nothing is acknowledged any more. It
// needs no right and concerns this one connection.
func (p *peer) vanish() {
	p.T.Helper()
	drop := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	program := unix.SockFprog{Len: 1, Filter: unsafe.SliceData(drop)}
	raw, err := p.Conn.(syscall.Conn).SyscallConn()
	must(p.T, err)
	failed := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program)
	})
	must(p.T, failed)
	must(p.T, err)
	must(p.T, p.Conn.(*net.TCPConn).SetLinger(0)) // or its FIN would be sent for minutes
}

// situation is a state that a connection can be in.
type situation struct {
	name    string
	request string        // what the peer sends
	admit   func(*Client) // and the Handler does with it, after accepting unless pending
	pending bool          // the Handler doesn't answer
	drain   bool          // the engine is told to drain
	// Causes of the end.
	fin, rst, junk, silence Cause
}

func (s *situation) cause(event string) Cause {
	switch event {
	case "FIN":
		return s.fin
	case "RST":
		return s.rst
	case "junk":
		return s.junk
	}
	return s.silence
}

// open is what a situation of an open client adds to an accepted one.
func opened(name, behind string, admit func(*Client)) situation {
	return situation{name: name, request: request("name=x&user=u&tenant=t") + behind, admit: admit,
		fin: CausePeerGone, rst: CauseReset, junk: CauseProtocolError, silence: CauseDead}
}

// ending has one cause, whatever is done to the connection meanwhile.
func ending(name, request string, cause Cause, admit func(*Client)) situation {
	return situation{name: name, request: request, admit: admit, fin: cause, rst: cause, junk: cause, silence: cause}
}

// large is more than both ends' socket buffers take. It is encoded once: the race detector takes seconds
// for so many bytes on a busy machine, in which no goroutine runs and clients' time passes.
func large() *Frame { return FrameOf(largeWire()) }

var largeWire = sync.OnceValue(func() []byte { return NewFrame(ws.OpBinary, make([]byte, 8<<20)).Wire() })

func situations() []situation {
	half := clientFrame(ws.OpBinary, string(make([]byte, 500)))[:100]
	first, _ := ws.CompileFrame(ws.MaskFrame(ws.NewFrame(ws.OpBinary, false, make([]byte, 100))))
	owed := func(name string, admit func(*Client)) situation {
		s := opened(name, "", admit)
		s.silence = CauseSlow
		return s
	}
	return []situation{
		{name: "nothing sent", fin: CausePeerGone, rst: CauseReset, junk: CauseBadHandshake, silence: CauseHandshakeTimeout},
		{name: "half a request", request: request("")[:40],
			fin: CausePeerGone, rst: CauseReset, junk: CauseBadHandshake, silence: CauseHandshakeTimeout},
		{name: "authorising", request: request(""), pending: true,
			fin: CausePeerGone, rst: CauseReset, junk: CauseTooBig, silence: CauseHandshakeTimeout},
		opened("idle", "", nil),
		opened("half a frame", half, nil),
		opened("half a message", string(first), nil),
		opened("subscribed", "", func(c *Client) { c.Subscribe("topic"); c.Subscribe("another") }),
		opened("subscription pending", "", func(c *Client) { c.SubscribePending("row") }),
		opened("held", "", (*Client).PinReplay),
		owed("catching up", func(c *Client) { c.SendPage([]*Frame{large(), text("the next")}, 2) }),
		owed("lagging", func(c *Client) { c.Send(large()) }),
		ending("closing", request("name=x"), CauseServerClosed, func(c *Client) {
			c.Close(ws.StatusNormalClosure, "", CauseServerClosed)
		}),
		ending("closing behind what is owed", request("name=x"), CauseServerClosed, func(c *Client) {
			c.Send(large())
			c.Close(ws.StatusNormalClosure, "", CauseServerClosed)
		}),
		ending("rejected", request("name=x"), CauseRejected, func(c *Client) {
			c.AcceptAndClose([]byte("HTTP/1.1 101\r\n\r\n"), ws.StatusPolicyViolation, "no")
		}),
		ending("refused", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", CauseBadHandshake, nil),
		{name: "draining", request: request("name=x"), drain: true,
			fin: CauseDraining, rst: CauseDraining, junk: CauseDraining, silence: CauseDraining},
	}
}

// crowd is peers in one situation, one for each event, and a healthy client beside them.
type crowd struct {
	t         *testing.T
	engine    *Engine
	host      *host
	situation *situation
	healthy   <-chan string // what a client gets that is left alone; nil when there is none
	clients   map[netip.Addr]*Client
	closed    map[uint64]int // Handler.Closed calls
	mu        sync.Mutex
}

func newCrowd(t *testing.T, s *situation, tune func(*Options)) *crowd {
	largeWire() // not while a loop waits
	g := &crowd{t: t, host: &host{}, situation: s, clients: make(map[netip.Addr]*Client), closed: make(map[uint64]int)}
	g.host.onUpgrade = g.upgrade
	g.host.onClosed = func(c *Client, _ Cause) {
		g.mu.Lock()
		g.closed[c.ID()]++
		g.mu.Unlock()
	}
	g.engine = start(t, g.host, oneSmallLoop, func(o *Options) {
		o.Accept.MaxPerAddress, o.MaxMessageIn = 10, 1000
	}, tune)
	if !s.drain {
		g.healthy = healthyClient(t, g.engine)
	}
	return g
}

// upgrade brings a client as far as it goes by the Handler's doing.
func (g *crowd) upgrade(c *Client, r *wsproto.Request) {
	s := g.situation
	switch {
	case r.Query == "name=healthy":
		g.host.admit(c, r)
	case s.pending:
	case s.name == "rejected":
		s.admit(c)
	case s.name == "held" || s.name == "catching up":
		c.Accept(Acceptance{Answer: r.Answer, Replay: true, Labels: [labelKinds]string{"u", "t"}})
		s.admit(c)
	default:
		g.host.admit(c, r)
		if s.admit != nil {
			s.admit(c)
		}
	}
}

// join brings one more peer into the situation.
func (g *crowd) join() (*peer, *Client) {
	from := net.IPv4(127, 0, 1, byte(1+len(g.clients)))
	p, err := tryConnect(g.t, g.engine, from, wstest.SmallWindow)
	must(g.t, err)
	p.Say(g.situation.request)
	return p, g.find(from)
}

// find waits until the engine knows the peer and has come as far with it as it will.
func (g *crowd) find(from net.IP) (found *Client) {
	addr, _ := netip.AddrFromSlice(from.To4())
	s := g.situation
	eventually(g.t, "the connection is there", func() bool {
		arrived := false
		everyLoop(g.t, g.engine, func(l *Loop) {
			for _, c := range l.clients.slots {
				if c == nil || c.state == gone || c.Addr() != addr {
					continue
				}
				found = c
				switch {
				case s.request == "":
					arrived = true
				case s.name == "half a request":
					arrived = c.pos > 0
				case s.name == "half a frame" || s.name == "half a message":
					arrived = c.decoder != nil
				default:
					arrived = c.state != handshaking
				}
			}
		})
		return arrived
	})
	g.clients[addr] = found
	return found
}

// outcome is how a connection ended.
type outcome struct {
	cause Cause
	left  string // what it still had
}

// look returns the outcome of a client that has gone.
func (g *crowd) look(c *Client) (o outcome, over bool) {
	everyLoop(g.t, g.engine, func(l *Loop) {
		if over = c.state == gone && l.clients.slots[c.slot] != c; over {
			o.cause = c.cause
			if c.queue != nil || c.decoder != nil || c.groups != [labelKinds]*group{} || c.flags&(flagPinned|flagDirty) != 0 {
				o.left = fmt.Sprintf("outbox %v, decoder %v, labels %v, flags %b", c.queue, c.decoder, c.groups, c.flags)
			}
		}
	})
	return o, over
}

// nothingLeft is what a loop must have given back when all but the healthy have gone.
func (g *crowd) nothingLeft() {
	g.t.Helper()
	e, stay := g.engine, 1
	if g.healthy == nil {
		stay = 0
	}
	eventually(g.t, "descriptors are given back", func() bool { return e.Connections() == stay })
	everyLoop(g.t, e, func(l *Loop) {
		labels := 0
		for _, groups := range l.clients.groups {
			labels += len(groups)
		}
		for what, n := range map[string]int{
			"roster slots": l.clients.count - stay, "open clients": int(l.counters.Clients.Load()) - stay,
			"labels": labels - stay*int(labelKinds), "subscriptions": l.subs.Count(), "pending subscriptions": len(l.subs.pending),
			"lagging clients": len(l.behind.laggards) + int(l.counters.Lagging.Load()), "held clients": l.behind.pinned,
			"panics": int(l.counters.Panics.Load()), "frames in the feed": l.broadcasts.Len(),
		} {
			if n != 0 {
				g.t.Errorf("%d %s are left", n, what)
			}
		}
	})
	if n := e.addresses.Len(); n != stay {
		g.t.Errorf("%d addresses have places, want %d", n, stay)
	}
}
