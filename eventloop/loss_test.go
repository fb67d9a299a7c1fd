package eventloop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// hold keeps a loop busy until release is called.
func holdLoop(e *Engine, id uint64) (release func()) {
	held, free := make(chan struct{}), make(chan struct{})
	e.Post(id, func(*Client) { close(held); <-free })
	<-held
	return func() { close(free) }
}

// When a full mailbox has let go of change events, every client of the loop is told, ahead
// of what is left, or closed if it can't be.
func TestFullMailboxTellsOfLostEvents(t *testing.T) {
	t.Parallel()
	var pylon atomic.Uint64 // who can't be told
	h := &host{onLoss: func(c *Client) *Frame {
		if c.id == pylon.Load() {
			return nil
		}
		return text("lost")
	}}
	e := start(t, h, oneSmallLoop, func(o *Options) { o.Memory.QueueMessages = 10 })
	a, b, p := dial(t, e, "name=a"), dial(t, e, "name=b"), dial(t, e, "name=pylon")
	pylon.Store(h.id("pylon"))
	release := holdLoop(e, h.id("a"))
	for i := range 15 {
		f := text("%d", i)
		f.Seq = uint64(i + 1)
		if got := e.Publish(f, nil); got.Reliable != min(1, i/10) || got.Lossy != 0 {
			t.Errorf("message %d: dropped %+v", i, got)
		}
	}
	release()
	for _, p := range []*peer{a, b} {
		p.Expect(ws.OpText, "lost")
		for i := 5; i < 15; i++ {
			p.Expect(ws.OpText, fmt.Sprint(i))
		}
	}
	p.Expect(ws.OpClose, string(ws.NewCloseFrameBody(1013, "messages were lost"))) // not that it was too slow
	if got := e.Stats().Loops[0].DroppedOthers; got != 5 {
		t.Errorf("%d counted, want 5", got)
	}
}

// Losing presence is told to nobody.
func TestFullMailboxIsSilentAboutLossyFrames(t *testing.T) {
	t.Parallel()
	h := &host{onLoss: func(*Client) *Frame { return text("lost") }}
	e := start(t, h, oneSmallLoop, func(o *Options) { o.Memory.QueueMessages = 10 })
	p := dial(t, e, "name=a")
	release := holdLoop(e, h.id("a"))
	for i := range 12 {
		f := text("%d", i)
		f.Lossy = i < 11
		f.Seq = uint64(i / 11)
		e.Publish(f, nil)
	}
	release()
	// The first went for the eleventh, the second for the event.
	for i := 2; i < 12; i++ {
		p.Expect(ws.OpText, fmt.Sprint(i))
	}
}

// A publisher that waits for room loses nothing, however small the mailbox.
func TestWaitDrained(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h, oneSmallLoop, func(o *Options) { o.Memory.QueueMessages = 4 })
	p := dial(t, e, "name=a")
	release := holdLoop(e, h.id("a"))
	for i := range 3 {
		e.Publish(text("%d", i), nil)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if err := e.WaitDrained(ended); !errors.Is(err, context.Canceled) {
		t.Fatalf("there is no room, but %v", err)
	}
	go release()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for i := 3; i < 500; i++ {
		must(t, e.WaitDrained(ctx))
		if got := e.Publish(text("%d", i), nil); got.Any() {
			t.Fatalf("message %d pushed something out: %+v", i, got)
		}
	}
	for i := range 500 {
		p.Expect(ws.OpText, fmt.Sprint(i))
	}
}

// What a client asks for isn't held against it. Whoever answers it is told when it has room for
// more, which is when it has taken most of that.
func TestMayAsk(t *testing.T) {
	t.Parallel()
	taken := make(chan int, 10)
	h := &host{onTaken: func(c *Client) { taken <- c.loop.asked(c) }}
	e := start(t, h, oneSmallLoop, func(o *Options) { o.Slow.LagBytes, o.Slow.LagTime = 10_000, patience })
	healthy := dial(t, e, "name=healthy")
	stuck := dial(t, e, "name=stuck", wstest.SmallWindow)
	stall(t, e, h, healthy, &Audience{Clients: []uint64{h.id("stuck"), h.id("healthy")}})
	const size = AskedBytes / 4
	asked := 0
	on(t, e, h.id("stuck"), func(c *Client) {
		for c.MayAsk(size) {
			asked++
			ticket, _ := c.SubscribePending("row")
			c.ReleaseSubscription("row", ticket, NewFrame(ws.OpBinary, make([]byte, size-10)), 0)
		}
	})
	if asked != 4 || len(taken) > 0 || e.Clients() != 2 {
		t.Fatalf("%d were asked for, Taken was called %d times, %d clients", asked, len(taken), e.Clients())
	}
	for asked > 0 {
		f, err := stuck.Next()
		must(t, err)
		if f.Header.OpCode == ws.OpBinary {
			asked--
		}
	}
	if left := <-taken; left > AskedBytes/2 || len(taken) > 0 {
		t.Errorf("Taken was called with %d bytes left, and %d times more", left, len(taken))
	}
}

// An engine that couldn't start can be stopped.
func TestStopAfterFailedStart(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	e, err := New(&host{}, Options{Listen: taken.Addr().String()})
	must(t, err)
	if err := e.Start(); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Fatal(err)
	}
	e.Stop()
}
