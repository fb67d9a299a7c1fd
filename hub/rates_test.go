package hub

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/internal/rates"
)

// slowly gives nothing back while a test runs.
func slowly(burst float64) rates.Limit { return rates.Limit{PerSecond: 1e-9, Burst: burst} }

// docs/protocol.md section 2: a client that goes on far over its relay rate gets 1008; others go on.
func TestRelayAbuse(t *testing.T) {
	h := start(t, func(o *Options) { o.Rates.Relays.PerSecond, o.Rates.Relays.Burst = 1e-9, 5 })
	bob := listen(t, h, "bob", "")
	alice := connect(t, h, "alice")
	for range 11 { // 5 pass, 5 are dropped
		if alice.Write(within(t), websocket.MessageText, []byte(`{"type":"presence"}`)) != nil {
			break
		}
	}
	if code, reason := alice.Closed(); code != websocket.StatusPolicyViolation || reason != "rate abuse: relays" {
		t.Errorf("closed with %d %q", code, reason)
	}
	if s := h.Stats(); s.Relayed != 5 || s.RateLimited["relays"] != 6 {
		t.Errorf("%d relayed, over the limit %v", s.Relayed, s.RateLimited)
	}
	eventually(t, "the end counted", func() bool { return h.Stats().Closed["rate_abuse"] == 1 })
	bob.sendAndSettle(`{"type":"presence"}`)
}

// Subscribing and unsubscribing in turns never holds many subscriptions, and is bounded all
// the same: each turn costs a fetch.
func TestSubscribingInALoop(t *testing.T) {
	var fetches atomic.Int64
	h := start(t, func(o *Options) {
		o.Rates.Subscribes = slowly(10)
		o.Rows.Fetch = func(context.Context, *Identity, string, string) ([]byte, bool, error) {
			fetches.Add(1)
			return []byte("x"), true, nil
		}
	})
	alice := connect(t, h, "alice")
	for range 50 {
		for _, kind := range []string{"crdt-subscribe", "crdt-unsubscribe"} {
			text := fmt.Sprintf(`{"type":%q,"entity":"E","rowId":"r"}`, kind)
			_ = alice.Write(within(t), websocket.MessageText, []byte(text))
		}
	}
	if code, reason := alice.Closed(); code != websocket.StatusPolicyViolation || reason != "rate abuse: subscribes" {
		t.Errorf("closed with %d %q", code, reason)
	}
	if n := fetches.Load(); n > 5 {
		t.Errorf("%d fetches", n)
	}
}

// A user with fifty connections has the allowance of PerUser; one of the same name in another
// tenant is somebody else; strangers who share an identity share no allowance.
func TestAllowancePerUser(t *testing.T) {
	auth := AuthenticatorFunc(func(ctx context.Context, token string) (*Identity, error) {
		if token == "stranger" {
			return &Identity{UserID: "anonymous", Anonymous: true}, nil
		}
		return namesAre(ctx, token)
	})
	for token, want := range map[string]uint64{"alice": 6, "stranger": 50 * 2} {
		t.Run(token, func(t *testing.T) {
			h := start(t, func(o *Options) {
				o.Auth, o.Rates.Relays.PerSecond, o.Rates.Relays.Burst = auth, 1e-9, 2
				o.Rates.PerUser, o.Rates.PerAddress = 3, -1
			})
			for range 50 {
				c := connect(t, h, token)
				c.Send(`{"type":"presence"}`)
				c.Send(`{"type":"presence"}`)
			}
			eventually(t, "all decided about", func() bool { return h.Stats().Relayed+h.Stats().RateLimited["relays"] == 100 })
			if n := h.Stats().Relayed; n != want {
				t.Errorf("%d relayed, want %d", n, want)
			}
			if token == "alice" {
				listen(t, h, "alice@acme", "").sendAndSettle(`{"type":"presence"}`)
				eventually(t, "the other alice", func() bool { return h.Stats().Relayed == want+1 })
			}
		})
	}
}

// Admin connections have no limits.
func TestAdminsHaveNoLimits(t *testing.T) {
	h := start(t, func(o *Options) {
		o.Rates.Relays.PerSecond, o.Rates.Relays.Burst = 1e-9, 1
		o.Rates.Messages, o.Rates.Bytes, o.Rates.Subscribes = slowly(1), slowly(1), slowly(1)
	})
	admin := connect(t, h, "ADMIN")
	for range 100 {
		admin.Send(`{"type":"presence"}`)
	}
	eventually(t, "all relayed", func() bool { return h.Stats().Relayed == 100 })
}

func TestRatesThatLetNothingThrough(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"messages": func(o *Options) { o.Rates.Messages = slowly(0.5) },
		"relays":   func(o *Options) { o.Rates.Relays.PerSecond, o.Rates.Relays.Burst = 1, -1 },
	} {
		o := Options{Auth: namesAre}
		change(&o)
		o.setDefaults()
		if o.validate() == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
