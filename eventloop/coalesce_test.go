package eventloop

import (
	"fmt"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// sends is how many system calls have written to sockets so far. They are counted after
// the bytes are out, so a client can be ahead of the count until the loop has come round.
func sends(t *testing.T, e *Engine) uint64 {
	everyLoop(t, e, func(*Loop) {})
	return e.Stats().Loops[0].Sends
}

// oneSlowPacedLoop holds flushes so far apart that none begins for its time in a test.
func oneSlowPacedLoop(o *Options) {
	o.Loops, o.Memory.QueueMessages, o.FlushDelay = 1, 64, time.Second
}

// stretchDelay makes the delay longer than any test and than an operator may.
func stretchDelay(t *testing.T, e *Engine) {
	everyLoop(t, e, func(l *Loop) { e.opts.FlushDelay = time.Hour })
}

// A lone message goes out at once. The next ones wait, until the mailbox is half full: then
// all of them go out with one system call.
func TestFlushDelayHoldsBackWhatComesTooSoon(t *testing.T) {
	t.Parallel()
	e := start(t, &host{}, oneSlowPacedLoop)
	p := dial(t, e, "name=a")
	stretchDelay(t, e)
	e.Publish(text("lone"), nil)
	p.Expect(ws.OpText, "lone")
	before := sends(t, e)
	const held = 33 // half of QueueMessages, and one
	for i := range held {
		if e.Publish(text("%d", i), nil); i < held-1 && sends(t, e) != before {
			t.Fatalf("message %d of %d wasn't held back", i+1, held)
		}
	}
	for i := range held {
		p.Expect(ws.OpText, fmt.Sprint(i))
	}
	if n := sends(t, e) - before; n != 1 {
		t.Errorf("%d messages took %d system calls, want 1", held, n)
	}
}

// When the time is up, what waited goes out without anything else happening.
func TestFlushDelayEnds(t *testing.T) {
	t.Parallel()
	e := start(t, &host{}, oneSlowPacedLoop, func(o *Options) { o.FlushDelay = 10 * time.Millisecond })
	p := dial(t, e, "name=a")
	for i := range 200 {
		e.Publish(text("%d", i), nil)
		if i%3 == 0 {
			p.Expect(ws.OpText, fmt.Sprint(i)) // nothing else comes before it
		} else if i%3 == 1 {
			e.Publish(text("more"), nil)
			p.Expect(ws.OpText, fmt.Sprint(i))
			p.Expect(ws.OpText, "more")
		} else {
			p.Expect(ws.OpText, fmt.Sprint(i))
		}
	}
}

// Whatever isn't a message waits for nothing: connections are accepted and tasks run.
func TestFlushDelayDelaysMessagesAlone(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h, oneSlowPacedLoop)
	a := dial(t, e, "name=a")
	stretchDelay(t, e)
	e.Publish(text("lone"), nil)
	a.Expect(ws.OpText, "lone")
	e.Publish(text("held back"), nil)
	dial(t, e, "name=b")
	on(t, e, h.id("b"), func(*Client) {})
	a.Send(ws.OpPing, "hello")
	a.Expect(ws.OpPong, "hello")
}

// Many bytes for one client alone aren't held back: what waits must not make it look slow.
func TestFlushDelayHoldsBackLittle(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h, oneSlowPacedLoop, func(o *Options) { o.Slow.LagBytes = 1000 })
	p := dial(t, e, "name=a")
	stretchDelay(t, e)
	e.Publish(text("lone"), nil)
	p.Expect(ws.OpText, "lone")
	on(t, e, h.id("a"), func(c *Client) { c.Send(text("%0900d", 0)) })
	on(t, e, h.id("a"), func(c *Client) { c.Send(text("more")) })
	on(t, e, h.id("a"), func(c *Client) { c.Send(text("%090d", 0)) })
	p.Expect(ws.OpText, fmt.Sprintf("%0900d", 0))
	p.Expect(ws.OpText, "more")
	p.Expect(ws.OpText, fmt.Sprintf("%090d", 0))
}

// Messages that are queued with more to come go out together when the publisher says so.
func TestQueuedMessagesGoOutTogether(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h, func(o *Options) { o.Loops = 1 })
	p := dial(t, e, "name=a")
	stopTicking(t, e)
	everyLoop(t, e, func(l *Loop) { l.fanout.sliceTime = time.Hour }) // or a busy machine would take two turns
	before := sends(t, e)
	for i := range 100 {
		e.Queue(text("%d", i), nil)
	}
	if n := e.Stats().Loops[0].Sends; n != before {
		t.Fatalf("%d system calls before Flush", n-before)
	}
	e.Flush()
	for i := range 100 {
		p.Expect(ws.OpText, fmt.Sprint(i))
	}
	if n := sends(t, e) - before; n != 1 {
		t.Errorf("100 messages took %d system calls, want 1", n)
	}
}

// Another publisher doesn't wait for one that has more to come, and pushes nothing ahead of
// what that one has queued.
func TestQueueHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	e := start(t, &host{}, func(o *Options) { o.Loops = 1 })
	p := dial(t, e, "name=a")
	e.Queue(text("queued"), nil)
	e.Publish(text("published"), nil)
	p.Expect(ws.OpText, "queued")
	p.Expect(ws.OpText, "published")
}

// A publisher that queues more than half a mailbox loses nothing by it.
func TestQueueWakesALoopThatIsHalfFull(t *testing.T) {
	t.Parallel()
	e := start(t, &host{}, func(o *Options) { o.Loops, o.Memory.QueueMessages = 1, 8 })
	p := dial(t, e, "name=a")
	for i := range 5 {
		e.Queue(text("%d", i), nil)
	}
	for i := range 5 {
		p.Expect(ws.OpText, fmt.Sprint(i))
	}
}
