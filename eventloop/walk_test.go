package eventloop

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// A flush to many clients is cut into slices, between which the loop has its turn, and what
// comes replayBuffer keeps its order for everyone.
func TestFlushIsCutIntoSlices(t *testing.T) {
	t.Parallel()
	const clients, slice = 45, 10
	h := &host{}
	e := start(t, h, oneSmallLoop)
	var peers []*peer
	for i := range clients {
		peers = append(peers, dial(t, e, fmt.Sprint("name=", i)))
	}
	slices := 0
	on(t, e, h.id("0"), func(c *Client) {
		l := c.loop
		l.fanout.slice, l.fanout.opened = slice, 0
		l.broadcasts.append(text("one"))
		l.flush()
		if !l.fanout.walking || l.fanout.at != 1+slice {
			t.Errorf("after one slice: walking %v, at %d", l.fanout.walking, l.fanout.at)
		}
		// For the last, who hasn't had "one" yet, and for the first, who has.
		l.enqueue(l.clients.find(h.id(fmt.Sprint(clients-1))), text("alone"))
		l.enqueue(c, text("alone"))
		l.broadcasts.append(text("two"))
		for slices = 1; l.fanout.walking || l.fanout.flushed < l.broadcasts.end; slices++ {
			l.flush()
		}
	})
	if want := 2 * ((clients + slice - 1) / slice); slices != want {
		t.Errorf("two messages to %d clients took %d slices, want %d", clients, slices, want)
	}
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
	const clients, short = 45, 10
	h := &host{}
	e := start(t, h, oneSmallLoop)
	for i := range clients {
		dial(t, e, fmt.Sprint("name=", i))
	}
	on(t, e, h.id("0"), func(c *Client) {
		l := c.loop
		l.fanout.slice = short * arrivals
		if l.fanout.opened == 0 {
			t.Error("connections weren't noticed")
		}
		l.broadcasts.append(text("one"))
		l.flush()
		if !l.fanout.walking || l.fanout.at != 1+short {
			t.Errorf("after connections came: walking %v, at %d; want a slice of %d", l.fanout.walking, l.fanout.at, short)
		}
		l.flush()
		if l.fanout.walking {
			t.Errorf("no more came, and the walk goes on at %d", l.fanout.at)
		}
	})
}

// While a walk is under way the loop reads, accepts and answers, and a client that comes in
// the middle gets what is published from there on.
func TestLoopLivesBetweenSlices(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h, oneSmallLoop)
	var peers []*peer
	for i := range 30 {
		peers = append(peers, dial(t, e, fmt.Sprint("name=", i)))
	}
	// A walk that makes no headway until it is let.
	on(t, e, h.id("0"), func(c *Client) { c.loop.fanout.slice = 0; c.loop.broadcasts.append(text("one")) })
	late := dial(t, e, "name=late")
	late.Send(ws.OpPing, "alive")
	late.Expect(ws.OpPong, "alive")
	e.Publish(text("two"), nil)
	on(t, e, h.id("late"), func(c *Client) {
		if l := c.loop; !l.fanout.walking || l.fanout.at != 0 {
			t.Errorf("walking %v, at %d", l.fanout.walking, l.fanout.at)
		}
		c.loop.fanout.slice = 7
	})
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
	eventuallyOn(t, e, h.id("a"), func(c *Client) bool { return c.loop.waking.yielder != nil })
	on(t, e, h.id("a"), func(c *Client) {
		p.Send(ws.OpText, "hello") // which is in the loop's socket from here on
		e.Post(c.ID(), func(*Client) { order = append(order, "drain") })
		c.loop.yield()
		for range 10_000 { // whoever else can run does
			runtime.Gosched()
		}
	})
	eventuallyOn(t, e, h.id("a"), func(*Client) bool { return len(order) == 2 })
	on(t, e, h.id("a"), func(*Client) {
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
