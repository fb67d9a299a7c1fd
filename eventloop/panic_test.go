package eventloop

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/internal/wstest"
	"github.com/busbar-ws/busbar/wsproto"
)

// panicLog counts what is logged about panics.
type panicLog struct {
	slog.Handler
	lines atomic.Int32
}

func (l *panicLog) Handle(_ context.Context, r slog.Record) error {
	if r.Level == slog.LevelError {
		l.lines.Add(1)
	}
	return nil
}

// The Handler panics in one of its methods, for the client called "victim".
func panicking(method string) *host {
	h := &host{}
	victim := func(c *Client) bool { return c.ID() == h.id("victim") }
	switch method {
	case "Upgrade":
		h.onUpgrade = func(c *Client, r *wsproto.Request) {
			if r.Query == "name=victim" {
				panic("in Upgrade")
			}
			h.admit(c, r)
		}
	case "Message":
		h.onMessage = func(c *Client, _ ws.OpCode, _ []byte) {
			if victim(c) {
				panic("in Message")
			}
		}
	case "Closed":
		h.onClosed = func(c *Client, _ Cause) {
			if victim(c) {
				panic("in Closed")
			}
		}
	case "Lagged":
		h.onLoss = func(*Client) *Frame { panic("in Lagged") }
	case "Drained":
		h.onDrained = func(*Client) { panic("in Drained") }
	}
	return h
}

// provoke has the victim's method called, and returns why it then ends.
func provoke(t *testing.T, method string, e *Engine, h *host, victim, other *peer) Cause {
	t.Helper()
	switch method {
	case "Message":
		victim.Send(ws.OpText, "x")
	case "Closed":
		victim.Close()
		return CausePeerGone
	case "Lagged":
		before := e.Stats().Loops[0].LagDropped
		n := stall(t, e, h, other, nil)
		for e.Stats().Loops[0].LagDropped == before {
			n++
			e.Publish(numbered(n, 5000), nil)
			other.Expect(ws.OpText, string(numbered(n, 5000).Payload()))
		}
		go func() { // it reads again, and would be told
			for {
				if _, err := victim.Next(); err != nil {
					return
				}
			}
		}()
	case "Drained":
		on(t, e, h.id("victim"), func(c *Client) { c.SendPage([]*Frame{text("page")}, 1) })
	}
	return CausePanic
}

// A panic costs the connection that it was called for, is counted, and is logged once.
func TestPanickingHandler(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"Upgrade", "Message", "Closed", "Lagged", "Drained"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			h := panicking(method)
			log := &panicLog{Handler: slog.Default().Handler()}
			e := start(t, h, oneSmallLoop, func(o *Options) {
				o.Slow.Policy, o.Slow.LagBytes, o.Log = DropOldest, 20_000, slog.New(log)
			})
			other := dial(t, e, "name=healthy")
			for round := range 2 {
				victim := connect(t, e, wstest.SmallWindow)
				query := "name=victim"
				if method == "Drained" {
					query += "&hold=1"
				}
				victim.Say(request(query))
				if method != "Upgrade" {
					victim.Upgraded()
				}
				cause := provoke(t, method, e, h, victim, other)
				eventually(t, "its connection ends", func() bool { return closedBy(e, cause) == round+1 })
				other.Send(ws.OpPing, "still served")
				other.Expect(ws.OpPong, "still served")
				if n := e.Stats().Loops[0].Panics; n != uint64(round+1) {
					t.Errorf("%d panics are counted, want %d", n, round+1)
				}
			}
			if e.Clients() != 1 || log.lines.Load() != 1 {
				t.Errorf("%d clients are left, %d lines logged; want 1 and 1", e.Clients(), log.lines.Load())
			}
		})
	}
}

// A posted function that panics costs its client; one for a loop costs nobody, and Each
// returns all the same.
func TestPanickingTasks(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h, func(o *Options) { o.Loops = 1 })
	victim, other := dial(t, e, "name=victim"), dial(t, e, "name=other")
	e.Post(h.id("victim"), func(*Client) { panic("posted") })
	victim.ExpectClose(ws.StatusInternalServerError) // docs/protocol.md section 3, close codes
	victim.ExpectEnd()
	everyLoop(t, e, func(*Loop) { panic("for a loop") })
	e.Publish(text("on"), nil)
	other.Expect(ws.OpText, "on")
	if n := e.Stats().Loops[0].Panics; n != 2 || closedBy(e, CausePanic) != 1 {
		t.Errorf("%d panics, %d connections; want 2 and 1", n, closedBy(e, CausePanic))
	}
}

// What is published around a panic is delivered, in the same flush.
func TestPanicDoesNotStopAFlush(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h, func(o *Options) { o.Loops = 1 })
	p := dial(t, e, "name=x")
	flushes := func() uint64 { return e.Stats().Loops[0].Flushes }
	before := flushes()
	everyLoop(t, e, func(l *Loop) { // all of this is in the mailbox when it is taken next
		e.Publish(text("before"), nil)
		l.post(entry{run: func(*Loop) { panic("between") }})
		e.Publish(text("behind"), nil)
	})
	p.Expect(ws.OpText, "before")
	p.Expect(ws.OpText, "behind")
	everyLoop(t, e, func(*Loop) {}) // a flush is counted when it is over
	if n := flushes() - before; n != 1 {
		t.Errorf("took %d flushes", n)
	}
}

// A panic in the loop's own code, which nobody's handler is to blame for, costs the step it
// came in: what else was to be done is done.
func TestPanicInTheLoopItself(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h, oneSmallLoop)
	p := dial(t, e, "name=a")
	on(t, e, h.id("a"), func(c *Client) {
		c.Send(text("before"))
		c.loop.fanout.dirty = append([]*Client{nil}, c.loop.fanout.dirty...) // pumping nobody panics
	})
	p.Expect(ws.OpText, "before")
	e.Publish(text("after"), nil)
	p.Expect(ws.OpText, "after")
	if got := e.Stats().Loops[0].Panics; got != 1 {
		t.Errorf("%d panics counted", got)
	}
}
