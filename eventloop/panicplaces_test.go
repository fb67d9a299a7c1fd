package eventloop

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/internal/wstest"
	"github.com/busbar-ws/busbar/wsproto"
)

// These panics are none of a Handler's: the loop's own state is made impossible for one
// client, whoever's mistake that would be.

// poison has the next send to the client panic.
func poison(c *Client) {
	c.ensureQueue().Continue(text(""), 1<<30)
}

func panicsOf(e *Engine) (n int) {
	for _, l := range e.Stats().Loops {
		n += int(l.Panics)
	}
	return n
}

// A panic at one client in the middle of a walk costs that one; those before and behind it
// have every message once and in order.
func TestPanicWhileWalking(t *testing.T) {
	t.Parallel()
	h := &host{}
	log := &panicLog{Handler: slog.Default().Handler()}
	e := start(t, h, func(o *Options) { o.Loops, o.Log = 1, slog.New(log) })
	var peers []*peer
	for i := range 30 {
		peers = append(peers, dial(t, e, fmt.Sprint("name=", i)))
	}
	e.Publish(text("before"), nil)
	for i := range peers {
		peers[i].Expect(ws.OpText, "before")
	}
	everyLoop(t, e, func(l *Loop) {
		for i := range peers {
			if i%10 == 4 {
				poison(l.clients.find(h.id(fmt.Sprint(i))))
			}
		}
	})
	for i := range 5 {
		e.Publish(text("%d", i), nil)
	}
	for i, p := range peers {
		if i%10 == 4 {
			p.ExpectEnd()
			continue
		}
		for n := range 5 {
			p.Expect(ws.OpText, fmt.Sprint(n))
		}
	}
	eventually(t, "they are counted", func() bool { return closedBy(e, CausePanic) == 3 })
	if panicsOf(e) != 3 || log.lines.Load() != 1 || e.Connections() != 27 {
		t.Errorf("%d panics, %d logged, %d connections; want 3, 1, 27", panicsOf(e), log.lines.Load(), e.Connections())
	}
}

// A panic at a client whose socket has room again costs that client: it would lag for ever.
func TestPanicWhileResuming(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h, oneSmallLoop, farAway)
	victim, other := dial(t, e, "name=victim", wstest.SmallWindow), dial(t, e, "name=other")
	on(t, e, h.id("victim"), func(c *Client) { c.Send(large()) })
	eventually(t, "it lags", func() bool { return e.Stats().Loops[0].Lagging == 1 })
	on(t, e, h.id("victim"), poison)
	victim.readOn()
	eventually(t, "it ends", func() bool { return closedBy(e, CausePanic) == 1 })
	e.Publish(text("on"), nil)
	other.Expect(ws.OpText, "on")
	if l := e.Stats().Loops[0]; l.Lagging != 0 || l.Clients != 1 {
		t.Errorf("%d lag, %d clients; want 0, 1", l.Lagging, l.Clients)
	}
}

// A panic while a connection is taken in, or given back, ends that connection.
func TestPanicWhileOpeningAndClosing(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h, oneSmallLoop, func(o *Options) { o.Accept.MaxPerAddress = 3 })
	other, victim := dial(t, e, "name=other"), dial(t, e, "name=victim")
	var free []uint32
	everyLoop(t, e, func(l *Loop) { free, l.clients.free = l.clients.free, []uint32{maxSlots} })
	connect(t, e).ExpectEnd()
	everyLoop(t, e, func(l *Loop) { l.clients.free = free })
	on(t, e, h.id("victim"), func(c *Client) {
		c.groups[LabelUser], c.prev[LabelUser] = &group{name: "nobody's"}, maxSlots
	})
	victim.Close()
	eventually(t, "its place is given back", func() bool { return e.Connections() == 1 })
	e.Publish(text("on"), nil)
	other.Expect(ws.OpText, "on")
	dial(t, e, "name=another")
	dial(t, e, "name=third") // the address has its places back
	if n := panicsOf(e); n != 2 || closedBy(e, CausePeerGone) != 1 {
		t.Errorf("%d panics, %d ends are counted, want 2 and 1", n, closedBy(e, CausePeerGone))
	}
}

// A panic on the slow wheel isn't in the way of the timeouts of those behind it.
func TestPanicOnTheWheel(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h, oneSmallLoop)
	p := dial(t, e, "name=x")
	on(t, e, h.id("x"), func(c *Client) {
		l := c.loop
		c.deadline = 1
		slab := l.clients.slots
		l.clients.slots = []*Client{nil, {state: handshaking, loop: l, since: l.now - 1<<20}, c} // the first has no connection
		l.ticker.next, l.ticker.end = 0, 3
		l.fanout.beginSlice(time.Now(), time.Hour)
		l.lookAround()
		l.clients.slots = slab
	})
	p.ExpectClose(ws.StatusPolicyViolation)
	if n := panicsOf(e); n != 1 {
		t.Errorf("%d panics are counted, want 1", n)
	}
}

// An end that is due isn't forgotten for what is read of another client meanwhile.
func TestEndWhileAnotherIsAccepted(t *testing.T) {
	t.Parallel()
	h := newPendingHost()
	var late atomic.Pointer[Client]
	h.onMessage = func(c *Client, _ ws.OpCode, p []byte) {
		if string(p) == "accept" {
			c.loop.abort(c, CauseServerClosed)
			acceptPending(late.Load())
		}
	}
	pending := h.onUpgrade
	h.onUpgrade = func(c *Client, r *wsproto.Request) {
		if r.Query == "name=a" {
			h.admit(c, r)
		} else {
			pending(c, r)
		}
	}
	e := start(t, h, oneSmallLoop, farAway)
	a, b := dial(t, e, "name=a"), connect(t, e)
	b.Say(request("name=b") + clientFrame(ws.OpText, "early"))
	late.Store(<-h.asked)
	a.Send(ws.OpText, "accept")
	b.Upgraded()
	a.ExpectEnd()
}

// A logger that panics doesn't end the process either.
func TestPanickingLogger(t *testing.T) {
	t.Parallel()
	h := &host{onMessage: func(*Client, ws.OpCode, []byte) { panic("in Message") }}
	e := start(t, h, func(o *Options) { o.Log = slog.New(loudLog{}) })
	p := dial(t, e, "name=x")
	p.Send(ws.OpText, "x")
	p.ExpectClose(ws.StatusInternalServerError)
	dial(t, e, "name=y")
}

type loudLog struct{}

func (loudLog) Enabled(_ context.Context, level slog.Level) bool { return level == slog.LevelError }
func (loudLog) Handle(context.Context, slog.Record) error        { panic("in the logger") }
func (l loudLog) WithAttrs([]slog.Attr) slog.Handler             { return l }
func (l loudLog) WithGroup(string) slog.Handler                  { return l }
