package eventloop

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop/internal/poll"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// lagFor has the loop's clocks go on by half of what is too long for the client, as often as it looks
// at acknowledgements, and judges it.
func lagFor(t *testing.T, e *Engine, c *Client) {
	t.Helper()
	everyLoop(t, e, func(l *Loop) {
		switch {
		case c.state == closing:
			c.since -= ticks(closeWait) / 4
			l.visit(c, l.ticker.lifetime.Seconds())
		case c.queue != nil && c.queue.Waiting:
			l.behind.lagNow += ticks(l.opts.Slow.LagTime) / 2
			l.checkLaggard(c)
		}
	})
}

// A client that reads steadily, however slowly, is given all that it is owed: the kernel reports
// room only when a third of the socket's buffer is free, which takes a slow one longer than LagTime.
func TestSteadyReaderIsNotTooSlow(t *testing.T) {
	t.Parallel()
	const pieces, size = 20, 50_000
	tests := map[string]struct {
		query  string
		give   func(l *Loop, c *Client)
		frames int
		size   int
		end    ws.StatusCode // 0: the client stays
	}{
		"a burst for everyone": {frames: pieces, size: size, give: func(l *Loop, _ *Client) {
			for i := range pieces {
				l.engine.Publish(numbered(i, size), nil)
			}
		}},
		"a burst for some": {frames: pieces, size: size, give: func(l *Loop, c *Client) {
			for i := range pieces {
				l.engine.Publish(numbered(i, size), &Audience{Clients: []uint64{c.ID()}})
			}
		}},
		"one message": {frames: 1, size: pieces * size, give: func(l *Loop, _ *Client) {
			l.engine.Publish(numbered(0, pieces*size), nil)
		}},
		"a row": {frames: 1, size: pieces * size, give: func(_ *Loop, c *Client) {
			ticket, _ := c.SubscribePending("row")
			c.ReleaseSubscription("row", ticket, numbered(0, pieces*size), 0)
		}},
		"a page": {query: "&hold=1", frames: pieces * 3 / 2, size: size, give: func(_ *Loop, c *Client) {
			var page []*Frame
			for i := range pieces * 3 / 2 {
				page = append(page, numbered(i, size))
				page[i].Seq = uint64(i + 1)
			}
			c.SendPage(page, uint64(len(page)))
		}},
		"a Close": {frames: pieces, size: size, end: 1008, give: func(_ *Loop, c *Client) {
			for i := range pieces {
				c.Send(numbered(i, size))
			}
			c.Close(1008, "revoked", CauseServerClosed)
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := &host{}
			e := start(t, h, oneSmallLoop, lagFar, func(o *Options) { o.SendBuffer = 400_000 })
			p := dial(t, e, "name=x"+test.query, wstest.SmallWindow)
			stopTicking(t, e)
			var c *Client
			on(t, e, h.id("x"), func(x *Client) { c = x; test.give(c.loop, c) })
			everyLoop(t, e, func(*Loop) {})
			got := make([]byte, 0, test.frames*len(numbered(0, test.size).Wire()))
			for len(got) < cap(got) {
				left := unacknowledged(t, e, c)
				for more := true; more; more = left > 0 && unacknowledged(t, e, c) >= left && len(got) < cap(got) {
					n, err := p.Conn.Read(got[len(got):min(cap(got), len(got)+4000)])
					must(t, err)
					got = got[:len(got)+n]
				}
				lagFor(t, e, c)
			}
			p.R.Reset(io.MultiReader(bytes.NewReader(got), p.Conn))
			for i := range test.frames {
				p.Expect(ws.OpText, string(numbered(i, test.size).Payload()))
			}
			if test.end != 0 {
				p.ExpectClose(test.end)
				return
			}
			p.Send(ws.OpPing, "alive")
			p.Expect(ws.OpPong, "alive")
		})
	}
}

// A slow reader isn't taken for dead for a ping that would stand behind megabytes in its socket: it is pinged
// once it has those, and has PongTimeout from then on.
func TestSteadyReaderIsNotDead(t *testing.T) {
	t.Parallel()
	const size = 300_000
	h := &host{}
	e := start(t, h, oneSmallLoop, func(o *Options) { o.SendBuffer, o.NotSentLowat = 2*size, -1 })
	p := dial(t, e, "name=x", wstest.SmallWindow)
	stopTicking(t, e)
	quiet := func(c *Client) {
		c.heard -= ticks(e.opts.Timeouts.PingInterval + e.opts.Timeouts.Pong)
		c.loop.checkAlive(c)
	}
	e.Publish(numbered(0, size), nil)
	eventually(t, "all is in the socket", func() (all bool) {
		on(t, e, h.id("x"), func(c *Client) { all = c.queue == nil && poll.Unacknowledged(c.fd) > 0 })
		return all
	})
	on(t, e, h.id("x"), func(c *Client) {
		quiet(c)
		if quiet(c); c.state != open || c.is(flagPinged) {
			t.Errorf("the client's state is %d, and its flags %b, want %d and not pinged", c.state, c.flags, open)
		}
	})
	p.Expect(ws.OpText, string(numbered(0, size).Payload()))
	eventually(t, "all is acknowledged", func() (all bool) {
		on(t, e, h.id("x"), func(c *Client) { all = poll.Unacknowledged(c.fd) == 0 })
		return all
	})
	on(t, e, h.id("x"), quiet)
	p.Expect(ws.OpPing, "")
}

// unacknowledged is what the client's peer doesn't have of what it was sent, in bytes.
func unacknowledged(t *testing.T, e *Engine, c *Client) (n uint32) {
	t.Helper()
	everyLoop(t, e, func(*Loop) { n = poll.Unacknowledged(c.fd) })
	return n
}

// One message alone never makes a client too slow, whatever its size: not for what waits
// ahead of it, and not for what comes behind it.
func TestOneMessageAloneIsNeverTooMuch(t *testing.T) {
	t.Parallel()
	for name, to := range map[string]func(id uint64) *Audience{
		"everyone": func(uint64) *Audience { return nil },
		"some":     func(id uint64) *Audience { return &Audience{Clients: []uint64{id}} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := &host{}
			e := start(t, h, oneSmallLoop, func(o *Options) { o.Slow.LagBytes = 20_000 })
			p := dial(t, e, "name=x", wstest.SmallWindow)
			sizes := []int{100_000, 100, 300_000, 100, 100} // the first fills the socket
			for i, size := range sizes {
				e.Publish(numbered(i, size), to(h.id("x")))
				everyLoop(t, e, func(*Loop) {}) // each is a turn of its own
			}
			for i, size := range sizes {
				p.Expect(ws.OpText, string(numbered(i, size).Payload()))
			}
		})
	}
}

// What the loop can't do isn't its clients' fault: one that lagged when the server was stopped, for
// longer than LagTime, goes on.
func TestServersPauseIsNotTheClientsLag(t *testing.T) {
	t.Parallel()
	const pieces, size = 20, 50_000
	h := &host{}
	e := start(t, h, oneSmallLoop, func(o *Options) { o.Slow.LagBytes, o.Slow.LagTime = 1<<28, 30*time.Second })
	p := dial(t, e, "name=x", wstest.SmallWindow)
	on(t, e, h.id("x"), func(c *Client) {
		for i := range pieces {
			c.loop.engine.Publish(numbered(i, size), nil)
		}
	})
	eventually(t, "it lags", func() bool { return e.Stats().Loops[0].Lagging == 1 })
	on(t, e, h.id("x"), func(c *Client) {
		e.started = e.started.Add(-2 * e.opts.Slow.LagTime)
		c.loop.wholeTick()
	})
	for i := range pieces {
		p.Expect(ws.OpText, string(numbered(i, size).Payload()))
	}
}
