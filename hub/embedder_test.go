package hub

import (
	"context"
	"log/slog"
	"testing"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/wsproto"
)

// A panic in an embedder's function costs the call that it was made for, nothing else.
func TestPanicsOfTheEmbedder(t *testing.T) {
	h := start(t, func(o *Options) {
		o.Logger = slog.New(slog.DiscardHandler)
		o.Auth = AuthenticatorFunc(func(ctx context.Context, token string) (*Identity, error) {
			if token == "bomb" {
				panic("in Authenticate")
			}
			return namesAre(ctx, token)
		})
		o.Rows.Fetch = func(_ context.Context, _ *Identity, _, rowID string) ([]byte, bool, error) {
			if rowID == "bomb" {
				panic("in the snapshot fetcher")
			}
			return []byte("fine"), true, nil
		}
	})
	if code, _ := connect(t, h, "bomb").Closed(); code != websocket.StatusCode(wsproto.StatusTryAgainLater) {
		t.Errorf("Close %d to a client whose lookup panicked", code)
	}
	alice := connect(t, h, "alice")
	alice.Send(`{"type":"crdt-subscribe","entity":"Doc","rowId":"bomb"}`)
	alice.Send(`{"type":"crdt-subscribe","entity":"Doc","rowId":"d1"}`)
	if _, b := alice.Next(); string(b[len(b)-4:]) != "fine" {
		t.Errorf("got %q, want the other row's snapshot", b)
	}
	eventually(t, "both panics are counted", func() bool { return h.Stats().Panics >= 2 })
	eventually(t, "no subscription is left of the one that panicked", func() bool { return h.SubscriptionCount() == 1 })
}

// Shutdown doesn't wait for a function that doesn't look at its context.
func TestShutdownDoesNotWaitForDeafFunctions(t *testing.T) {
	called, free := make(chan struct{}), make(chan struct{})
	h := start(t, func(o *Options) {
		o.Rows.Fetch = func(context.Context, *Identity, string, string) ([]byte, bool, error) {
			close(called)
			<-free
			return nil, false, nil
		}
	})
	defer close(free)
	alice := connect(t, h, "alice")
	alice.Send(`{"type":"crdt-subscribe","entity":"Doc","rowId":"d1"}`)
	<-called
	ended := make(chan error, 1)
	go func() { ended <- h.Shutdown(within(t)) }()
	if code, _ := alice.Closed(); code != 1012 {
		t.Errorf("Close %d", code)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-within(t).Done():
		t.Fatal("still waiting")
	}
	if err := h.Shutdown(within(t)); err != nil {
		t.Errorf("the second time: %v", err)
	}
}
