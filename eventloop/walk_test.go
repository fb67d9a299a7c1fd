package eventloop

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/eventloop/internal/poll"
	"github.com/gobwas/ws"
)

// A flush to many clients is cut into slices, between which the loop has its turn, and what
// comes meanwhile keeps its order for everyone.
func TestFlushIsCutIntoSlices(t *testing.T) {
	t.Parallel()
	const clients = stepsPerLook*3/2 + 1
	h := &host{}
	e := start(t, h, oneSmallLoop)
	var peers []*peer
	for i := range clients {
		peers = append(peers, dial(t, e, fmt.Sprint("name=", i)))
	}
	on(t, e, h.id("0"), func(c *Client) {
		l := c.loop
		flush := func() {
			l.fanout.beginSlice(time.Now(), 0)
			l.flush()
		}
		l.broadcasts.Append(text("one"))
		if flush(); !l.fanout.walking || l.fanout.at != 1+stepsPerLook {
			t.Errorf("after one slice: walking %v, at %d", l.fanout.walking, l.fanout.at)
		}
		// For the last, who hasn't had "one" yet, and for the first, who has.
		l.enqueue(l.clients.find(h.id(fmt.Sprint(clients-1))), text("alone"), false)
		l.enqueue(c, text("alone"), false)
		l.broadcasts.Append(text("two"))
		slices := 1
		for ; l.fanout.flushing; slices++ {
			flush()
		}
		if slices < 4 || slices > 6 {
			t.Errorf("two messages to %d clients took %d slices", clients, slices)
		}
	})
	for i, p := range peers {
		p.Expect(ws.OpText, "one")
		if i == 0 || i == clients-1 {
			p.Expect(ws.OpText, "alone")
		}
		p.Expect(ws.OpText, "two")
	}
}

// While connections come a slice is short, so that more of them are accepted.
func TestSliceIsShortWhileConnectionsCome(t *testing.T) {
	t.Parallel()
	l := &Loop{fanout: fanout{slice: slice{sliceTime: sliceTime}, opened: 1}}
	if short, long := l.nextSlice(), l.nextSlice(); short != sliceTime/arrivals || long != sliceTime {
		t.Errorf("%v while connections come, and %v when they don't", short, long)
	}
}

// While a walk is under way the loop reads, accepts and answers, and a client that comes in
// the middle gets what is published from there on.
func TestLoopLivesBetweenSlices(t *testing.T) {
	t.Parallel()
	h := &host{onMessage: sliceByMessage}
	e := start(t, h, oneSmallLoop)
	var peers []*peer
	for i := range 30 {
		peers = append(peers, dial(t, e, fmt.Sprint("name=", i)))
	}
	canYield(t, e, h.id("0"))
	// A walk that makes no headway until it is let.
	on(t, e, h.id("0"), func(c *Client) { c.loop.fanout.sliceTime = -time.Second; c.loop.broadcasts.Append(text("one")) })
	late := dial(t, e, "name=late")
	late.Send(ws.OpPing, "alive")
	late.Expect(ws.OpPong, "alive")
	e.Publish(text("two"), nil)
	late.Send(ws.OpText, "go")
	for _, p := range peers {
		p.Expect(ws.OpText, "one")
		p.Expect(ws.OpText, "two")
	}
	late.Expect(ws.OpText, "two")
}

// However soon a loop is woken again, it looks at its sockets before it drains again: also
// when whoever wakes it is there before a drain is over.
func TestLoopReadsBeforeItDrainsAgain(t *testing.T) {
	t.Parallel()
	var order []string // by the loop
	h := &host{onMessage: func(*Client, ws.OpCode, []byte) { order = append(order, "read") }}
	e := start(t, h, oneSmallLoop)
	p := dial(t, e, "name=a")
	canYield(t, e, h.id("a"))
	// A tick wakes the loop too, once: none does, and the loop has read since the last one did.
	eventuallyOn(t, e, h.id("a"), func(c *Client) bool { return c.loop.ticker.posted.CompareAndSwap(false, true) })
	p.Send(ws.OpPing, "no tick")
	p.Expect(ws.OpPong, "no tick")
	on(t, e, h.id("a"), func(c *Client) {
		p.Send(ws.OpText, "hello")
		for deadline := time.Now().Add(patience); !poll.Unread(c.fd) && time.Now().Before(deadline); {
			runtime.Gosched() // until it is in the loop's socket
		}
		e.Post(c.ID(), func(*Client) { order = append(order, "drain") })
		c.loop.yield()
		for range 10_000 { // whoever else can run does
			runtime.Gosched()
		}
	})
	eventuallyOn(t, e, h.id("a"), func(*Client) bool { return len(order) == 2 })
	on(t, e, h.id("a"), func(c *Client) {
		c.loop.ticker.posted.Store(false)
		if order[0] != "read" {
			t.Errorf("the loop did %v", order)
		}
	})
}

// eventuallyOn asks on the client's loop until the answer is true.
func eventuallyOn(t *testing.T, e *Engine, id uint64, ok func(*Client) bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		is := false
		on(t, e, id, func(c *Client) { is = ok(c) })
		if is {
			return
		}
	}
	t.Fatal("it didn't come to it")
}

// A mailbox that is never empty doesn't keep its loop from reading: gnet runs tasks until
// there are none, before it looks at sockets again.
func TestLoopReadsThoughItsMailboxIsNeverEmpty(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h, oneSmallLoop)
	p := dial(t, e, "name=a")
	var stop atomic.Bool
	defer stop.Store(true)
	var again func(*Client)
	again = func(c *Client) {
		if !stop.Load() {
			e.Post(c.ID(), again)
		}
	}
	e.Post(h.id("a"), again)
	for range 10 {
		p.Send(ws.OpPing, "alive")
		p.Expect(ws.OpPong, "alive")
	}
}
