package hub

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

func TestShares(t *testing.T) {
	s := newFetchQuota(&Options{WorkerQueue: 30, MaxSubscriptions: 2})
	s.mostBytes = 100
	for i, step := range []struct {
		payer string
		bytes int
		want  bool
	}{
		{"a", 10, true}, {"a", 10, true}, {"a", 10, true}, {"a", 10, false}, // three are a tenth
		{"b", 60, true}, {"b", 50, false}, {"b", 40, true},
	} {
		if got := s.take(step.payer, step.bytes); got != step.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
	s.giveBack("a", 10)
	if !s.take("a", 10) || s.take("a", 10) {
		t.Error("one given back is one to take")
	}
	for range 3 {
		s.giveBack("a", 10)
	}
	s.giveBack("b", 60)
	s.giveBack("b", 40)
	if len(s.taken) != 0 {
		t.Errorf("%v is left", s.taken)
	}
}

// While fetches hang, one user can't fill the queue: it is told to try again later, on
// whichever connection, and somebody else gets its snapshot.
func TestFetchesOfOneUserAreBounded(t *testing.T) {
	hang := make(chan struct{})
	h := start(t, func(o *Options) {
		o.Workers, o.WorkerQueue, o.MaxSubscriptions = 2, 100, 5
		o.Snapshots = func(ctx context.Context, id *Identity, _, _ string) ([]byte, bool, error) {
			if id.UserID == "greedy" {
				<-hang
			}
			return []byte("x"), true, nil
		}
	})
	for i := range 3 {
		c := connect(t, h, "greedy")
		for row := range 4 {
			c.Send(fmt.Sprintf(`{"type":"crdt-subscribe","entity":"E","rowId":"%d %d"}`, i, row))
		}
		if i < 2 {
			eventually(t, "all asked", func() bool { return h.SubscriptionCount() == 4*(i+1) })
			continue
		}
		if code, _ := c.Closed(); code != websocket.StatusTryAgainLater {
			t.Errorf("close code %d", code)
		}
	}
	modest := connect(t, h, "modest")
	modest.Send(`{"type":"crdt-subscribe","entity":"E","rowId":"r"}`)
	close(hang)
	for kind := websocket.MessageText; kind != websocket.MessageBinary; {
		kind, _ = modest.Next()
	}
	eventually(t, "nothing waits", func() bool {
		h.waiting.mu.Lock()
		defer h.waiting.mu.Unlock()
		return len(h.waiting.taken) == 0
	})
}

// Names of subscriptions are bounded in bytes: they may be as long as messages.
func TestLongNamesOfSubscriptions(t *testing.T) {
	h := start(t, func(o *Options) { o.MaxSubscriptions = 100 })
	alice := listen(t, h, "alice", "")
	long := strings.Repeat("x", 60_000)
	const fit = 1000 * subscriptionBytes / 60_000
	for i := range fit + 2 {
		alice.sendAndSettle(fmt.Sprintf(`{"type":"subscribe","topic":"%d%s"}`, i, long))
	}
	if n, ignored := h.SubscriptionCount(), h.Stats().Ignored["too_many_subscriptions"]; n != fit || ignored != 2 {
		t.Errorf("%d subscriptions, %d ignored; want %d and 2", n, ignored, fit)
	}
	alice.sendAndSettle(`{"type":"unsubscribe","topic":"0` + long + `"}`)
	alice.sendAndSettle(`{"type":"subscribe","entity":"` + long + `"}`)
	if n := h.SubscriptionCount(); n != fit {
		t.Errorf("%d subscriptions after one made room", n)
	}
}
