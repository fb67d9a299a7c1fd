package eventloop

import (
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"
)

// Whatever a loop does with all of its clients, or with very many, it does in slices, between which it
// reads and answers.
func TestWalksAreCutIntoSlices(t *testing.T) {
	t.Parallel()
	const clients = 2*stepsPerLook + 10
	count := func(l *Loop, is func(*Client) bool) (n int) {
		for _, c := range l.clients.slots {
			if c != nil && is(c) {
				n++
			}
		}
		return n
	}
	missed := func(c *Client) bool { return c.is(flagLost) || c.state == closing }
	lost := func(e *Engine, a *Audience) {
		e.split(a, func(l *Loop, part *Audience) {
			l.mailbox.lost.note(text("lost"), part)
			l.mailbox.PutNothing()
			l.poller.Wake()
		})
	}
	tick := func(e *Engine) { e.loops[0].ticker.due.Store(true); e.loops[0].poller.Wake() }
	for name, walk := range map[string]struct {
		begin func(*Engine)
		done  func(*Client) bool
	}{
		"drain": {
			func(e *Engine) { go e.Drain(t.Context(), ws.StatusGoingAway, "") },
			func(c *Client) bool { return c.state == closing },
		},
		"loss for everyone": {func(e *Engine) { lost(e, nil) }, missed},
		"loss for a key":    {func(e *Engine) { lost(e, &Audience{Key: "topic"}) }, missed},
		"loss for a tenant": {func(e *Engine) { lost(e, ofTenant("acme")) }, missed},
		"pings":             {tick, func(c *Client) bool { return c.is(flagPinged) }},
		"laggards": {tick, func(c *Client) bool {
			return c.queue != nil && c.loop.behind.lagNow-c.queue.Looked < ticks(c.loop.opts.Slow.LagTime)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var did atomic.Int64
			h := &host{onMessage: func(c *Client, op ws.OpCode, p []byte) {
				sliceByMessage(c, op, p)
				did.Store(int64(count(c.loop, walk.done)))
			}}
			e := start(t, h, oneSmallLoop)
			_, _, out := crowdOf(t, e, h, clients)
			stopTicking(t, e)
			everyLoop(t, e, func(l *Loop) {
				for c := range l.openClients() {
					c.heard = l.now - ticks(l.opts.Timeouts.PingInterval)
					if name == "laggards" && c.id != h.id("out") { // as wait does, but for that their sockets have room
						o := c.ensureQueue()
						o.Waiting, o.Index, o.Looked = true, len(l.behind.laggards), l.behind.lagNow-ticks(l.opts.Slow.LagTime)
						l.behind.laggards = append(l.behind.laggards, c)
					}
				}
			})
			out.tell("stop")
			walk.begin(e)
			for before := int64(0); before == 0; before = did.Load() {
				out.tell("one slice")
				if n := did.Load(); n > stepsPerLook+1 {
					t.Fatalf("%d clients had their turn in one slice", n)
				}
			}
			out.Send(ws.OpText, "go")
			eventually(t, "all have had their turn", func() bool {
				all := false
				on(t, e, h.id("out"), func(c *Client) { all = count(c.loop, walk.done) >= clients })
				return all
			})
		})
	}
}
