package eventloop

import (
	"fmt"
	"net"
	"testing"

	"github.com/gobwas/ws"
)

// spread connects clients until each of the engine's loops has one, and returns one of each.
func spread(t *testing.T, h *host, e *Engine) []*peer {
	t.Helper()
	of := make([]*peer, len(e.loops))
	for i, missing := 0, len(of); missing > 0; i++ {
		if i == 1000 {
			t.Fatalf("%d loops have none of 1000 clients", missing)
		}
		name := fmt.Sprint("client", i)
		p, err := tryConnect(t, e, net.IPv4(127, 0, 2, byte(i)))
		must(t, err)
		p.Say(request("name=" + name))
		p.Upgraded()
		loop := loopOf(h.id(name))
		if of[loop] != nil {
			p.Close()
			continue
		}
		of[loop] = p
		missing--
		on(t, e, h.id(name), func(c *Client) { c.Subscribe(fmt.Sprint("row of loop ", loop)) })
		if loop != 1 {
			on(t, e, h.id(name), func(c *Client) { c.Subscribe("row of three") })
		}
	}
	eventually(t, "the others have gone", func() bool { return e.Connections() == len(of) })
	return of
}

func wakes(e *Engine) (of []uint64) {
	for _, l := range e.Stats().Loops {
		of = append(of, l.Wakes)
	}
	return of
}

// DESIGN, subscriptions: a row with a few subscribers doesn't wake the loops that have none.
func TestOnlyLoopsWithSubscribersWake(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h, func(o *Options) { o.Loops = 4 })
	clients := spread(t, h, e)
	const rounds = 50
	for key, loops := range map[string][]int{
		"row of loop 2": {2},
		"row of three":  {0, 2, 3},
		"row of nobody": nil,
	} {
		before := wakes(e)
		for n := range rounds { // each has arrived before the next, so that each is a wake-up
			message := fmt.Sprint(key, n)
			if d := e.Publish(text("%s", message), &Audience{Key: key}); d.Any() {
				t.Fatalf("dropped %+v", d)
			}
			for _, loop := range loops {
				clients[loop].Expect(ws.OpText, message)
			}
		}
		// What a loop does for others has been done when its next task has run.
		everyLoop(t, e, func(*Loop) {})
		want := make([]uint64, len(clients))
		for _, loop := range loops {
			want[loop] = rounds
		}
		for loop, after := range wakes(e) {
			if got := after - before[loop]; got != want[loop] {
				t.Errorf("%s: loop %d woke %d times, want %d", key, loop, got, want[loop])
			}
		}
	}
	for i, l := range e.Stats().Loops {
		if l.Unwanted != 0 {
			t.Errorf("loop %d was given %d messages for subscribers that it hasn't", i, l.Unwanted)
		}
	}
}

// The counter can count: a message that is handed to a loop without a subscriber is unwanted.
func TestMessagesWithoutSubscribersAreCounted(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h, func(o *Options) { o.Loops = 4 })
	spread(t, h, e)
	key := e.table.Lookup("row of loop 2")
	for _, l := range e.loops {
		l.put(text("to all loops"), &Audience{Key: key.Name(), key: key}, false)
	}
	everyLoop(t, e, func(*Loop) {})
	for i, l := range e.Stats().Loops {
		want := uint64(1)
		if i == 2 {
			want = 0
		}
		if l.Unwanted != want || l.Wakes != 1 {
			t.Errorf("loop %d: %d unwanted in %d wake-ups, want %d in 1", i, l.Unwanted, l.Wakes, want)
		}
	}
}
