package hub

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/eventloop"
)

// heldAndFull holds a hub's loop, with more queued for it than whoever can wait adds to.
func heldAndFull(t *testing.T) (h *Hub, stays *listener, release func()) {
	t.Helper()
	h = start(t, func(o *Options) { o.Loops.Loops, o.Loops.Memory.QueueMessages, o.Rates.Relays.PerSecond = 1, 4, -1 })
	stays = listen(t, h, "stays", "")
	held, free, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- h.engine.Each(context.Background(), func(*eventloop.Loop) {
			close(held)
			<-free
		})
	}()
	<-held
	for i := range 4 {
		if err := h.PublishPresence("", fmt.Appendf(nil, `{"type":"presence","n":%d}`, i)); err != nil {
			t.Fatal(err)
		}
	}
	return h, stays, func() {
		close(free)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

// Who has left isn't told at the cost of what else was said: without room it is dropped, and counted.
func TestLeavesWithoutRoomPushNothingOut(t *testing.T) {
	h, stays, release := heldAndFull(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	h.leaves.tell(ended, map[string][]uint64{"": make([]uint64, leavesPerMessage+1), "tt": {1}})
	if n := h.Stats().Dropped["queue_lossy"]; n != 3 {
		t.Errorf("%d messages are counted as dropped, want 3", n)
	}
	release()
	for i := range 4 {
		stays.gets(fmt.Sprintf(`{"type":"presence","n":%d}`, i))
	}
	nothingMore(t, h, stays)
}

// Nothing of the hub runs when Shutdown returns, leaves that wait for room neither.
func TestCloseWaitsForLeaves(t *testing.T) {
	h, _, release := heldAndFull(t)
	h.leaves.add(1, &Identity{UserID: "gone"})
	eventually(t, "a flush waits for room", flushes)
	closed := make(chan bool)
	go func() {
		h.leaves.close()
		closed <- flushes()
	}()
	eventually(t, "the leaves are shut", func() bool {
		h.leaves.mu.Lock()
		defer h.leaves.mu.Unlock()
		return h.leaves.shut
	})
	release()
	if <-closed {
		t.Error("a flush ran on after close")
	}
}

func flushes() bool {
	stacks := make([]byte, 1<<20)
	return strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "(*leaveBatcher).flush(")
}
