package eventloop

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"
)

// A flush to many clients is cut into slices, between which the loop has its turn, and what
// comes meanwhile keeps its order for everyone.
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
		l.slice = slice
		l.feed.append(text("one"))
		l.flush()
		if !l.walking || l.walkAt != 1+slice {
			t.Errorf("after one slice: walking %v, at %d", l.walking, l.walkAt)
		}
		// For the last, who hasn't had "one" yet, and for the first, who has.
		l.enqueue(l.roster.find(h.id(fmt.Sprint(clients-1))), text("alone"))
		l.enqueue(c, text("alone"))
		l.feed.append(text("two"))
		for slices = 1; l.walking || l.flushed < l.feed.end; slices++ {
			l.flush()
		}
	})
	if want := 2 * ((clients + slice - 1) / slice); slices != want {
		t.Errorf("two messages to %d clients took %d slices, want %d", clients, slices, want)
	}
	for i, p := range peers {
		p.expect(ws.OpText, "one")
		if i == 0 || i == clients-1 {
			p.expect(ws.OpText, "alone")
		}
		p.expect(ws.OpText, "two")
	}
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
	on(t, e, h.id("0"), func(c *Client) { c.loop.slice = 0; c.loop.feed.append(text("one")) })
	late := dial(t, e, "name=late")
	late.send(ws.OpPing, "alive")
	late.expect(ws.OpPong, "alive")
	e.Publish(text("two"), nil)
	on(t, e, h.id("late"), func(c *Client) {
		if l := c.loop; !l.walking || l.walkAt != 0 {
			t.Errorf("walking %v, at %d", l.walking, l.walkAt)
		}
		c.loop.slice = 7
	})
	for _, p := range peers {
		p.expect(ws.OpText, "one")
		p.expect(ws.OpText, "two")
	}
	late.expect(ws.OpText, "two")
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
		p.send(ws.OpPing, "alive")
		p.expect(ws.OpPong, "alive")
	}
}
