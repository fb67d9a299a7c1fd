package hub

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub/internal/revocations"
)

func isUser(name string) func(*Identity) bool {
	return func(id *Identity) bool { return id.UserID == name }
}

// docs/protocol.md section 1: a session that expires while it is connected loses the connection.
func TestExpiry(t *testing.T) {
	auth := AuthenticatorFunc(func(_ context.Context, token string) (*Identity, error) {
		switch token {
		case "long ago":
			return &Identity{UserID: "u", Expires: time.Now().Add(-time.Second)}, nil
		case "soon":
			return &Identity{UserID: "u", Expires: time.Now().Add(time.Second)}, nil
		}
		return &Identity{UserID: "u", Expires: time.Now().Add(time.Hour)}, nil
	})
	h := start(t, func(o *Options) { o.Auth = auth })
	stays := listen(t, h, "later", "")
	soon := listen(t, h, "soon", "")
	if code, reason := listen(t, h, "long ago", "").ended(); code != 1008 || reason != invalidToken {
		t.Errorf("expired before: %d %q", code, reason)
	}
	if code, _ := soon.ended(); code != 1008 {
		t.Errorf("expired while connected: %d", code)
	}
	stays.sendAndSettle(`{"type":"presence"}`)
	if n := h.ClientCount(); n != 1 {
		t.Errorf("%d clients", n)
	}
}

// docs/protocol.md section 1: before a session's end closes a connection it is looked up again. What was
// prolonged stays, and is sent what others are; all else is closed, and says why.
func TestExpiryIsLookedUpAgain(t *testing.T) {
	first := time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		again *Identity
		err   error
		code  websocket.StatusCode
		says  string
	}{
		"prolonged":              {again: &Identity{UserID: "u", Expires: first.Add(time.Hour), Token: "t"}},
		"prolonged for ever":     {again: &Identity{UserID: "u"}},
		"not prolonged":          {again: &Identity{UserID: "u", Expires: first, Token: "t"}, code: 1008, says: "session expired"},
		"unknown by now":         {err: ErrUnauthorized, code: 1008, says: "session expired"},
		"somebody else's by now": {again: &Identity{UserID: "v"}, code: 1008, says: "session expired"},
		"of another tenant":      {again: &Identity{UserID: "u", Tenant: "t"}, code: 1008, says: "session expired"},
		"more than it was":       {again: &Identity{UserID: "u", Admin: true}, code: 1008, says: "session expired"},
		"nobody can say":         {err: errors.New("database is down"), code: 1013, says: "authentication is unavailable, try again later"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := make(chan struct{}, 8)
			count := 0
			auth := AuthenticatorFunc(func(context.Context, string) (*Identity, error) {
				defer func() { asked <- struct{}{} }()
				if count++; count == 1 {
					return &Identity{UserID: "u", Expires: first, Token: "t"}, nil
				}
				return c.again, c.err
			})
			h := start(t, func(o *Options) { o.Auth = auth })
			l := listen(t, h, "t", "")
			<-asked
			err := h.engine.Visit(t.Context(), nil, func(c *eventloop.Client) { c.ExpireAt(time.Now()) }) // its end comes
			if err != nil {
				t.Fatal(err)
			}
			<-asked
			if c.code != 0 {
				if code, reason := l.ended(); code != c.code || reason != c.says {
					t.Errorf("closed with %d %q, want %d %q", code, reason, c.code, c.says)
				}
				return
			}
			l.sendAndSettle(`{"type":"presence"}`)
			if n := h.ClientCount(); n != 1 {
				t.Errorf("%d clients", n)
			}
		})
	}
}

// docs/protocol.md section 5: revoking a session closes its connections, and no others.
func TestRevocation(t *testing.T) {
	h := start(t, nil)
	first, second, other := listen(t, h, "alice", ""), listen(t, h, "alice", ""), listen(t, h, "bob", "")
	h.CloseIdentity(isUser("alice"), "session revoked")
	for _, c := range []*listener{first, second} {
		if code, reason := c.ended(); code != 1008 || reason != "session revoked" {
			t.Errorf("closed with %d %q", code, reason)
		}
	}
	if err := other.settle(); err != nil {
		t.Errorf("bob: %v", err)
	}
}

// docs/protocol.md section 5: a lookup that was on its way when its session was revoked is worth nothing;
// one that was begun afterwards is.
func TestRevocationDuringLookup(t *testing.T) {
	lookups := make(chan asked, 8)
	h := start(t, func(o *Options) { o.Auth, o.AuthTimeout = asking(lookups), patience })
	early, bystander := connecting(t, h, "alice"), connecting(t, h, "bob")
	begun := map[string]asked{}
	for range 2 {
		a := <-lookups
		begun[a.token] = a
	}
	if err := h.DisconnectUser(t.Context(), "", "alice"); err != nil { // by CloseIdentity in TestRevocationRace
		t.Fatal(err)
	}
	begun["alice"].answer <- &Identity{UserID: "alice"}
	begun["bob"].answer <- &Identity{UserID: "bob"}
	if code, _ := (<-early).Closed(); code != 1008 {
		t.Errorf("close code %d", code)
	}
	if err := listenOn(t, <-bystander).settle(); err != nil {
		t.Errorf("bob: %v", err)
	}
	again := connecting(t, h, "alice")
	(<-lookups).answer <- &Identity{UserID: "alice"}
	if err := listenOn(t, <-again).settle(); err != nil {
		t.Errorf("a session made after the revocation: %v", err)
	}
}

// When too much was revoked meanwhile to remember it, the token is looked up again.
func TestRevocationsForgottenDuringLookup(t *testing.T) {
	lookups := make(chan asked, 8)
	h := start(t, func(o *Options) { o.Auth, o.AuthTimeout = asking(lookups), patience })
	dialled := connecting(t, h, "alice")
	first := <-lookups
	for range revocations.Max + 1 {
		h.CloseIdentity(isUser("bob"), "session revoked")
	}
	first.answer <- &Identity{UserID: "alice"}
	(<-lookups).answer <- &Identity{UserID: "alice"}
	if err := listenOn(t, <-dialled).settle(); err != nil {
		t.Errorf("alice: %v", err)
	}
}

// However lookups and a revocation interleave: whoever was looked up before it goes, and
// whoever was looked up afterwards stays.
func TestRevocationRace(t *testing.T) {
	var revoked atomic.Bool
	auth := AuthenticatorFunc(func(context.Context, string) (*Identity, error) {
		if revoked.Load() {
			return &Identity{UserID: "after"}, nil
		}
		return &Identity{UserID: "before"}, nil
	})
	h := start(t, func(o *Options) { o.Auth = auth })
	const clients = 60
	var dialled []<-chan *client
	for range clients {
		dialled = append(dialled, connecting(t, h, "alice"))
	}
	eventually(t, "some are connected", func() bool { return h.ClientCount() > clients/4 })
	revoked.Store(true)
	h.CloseIdentity(isUser("before"), "session revoked")
	eventually(t, "all are decided about", func() bool {
		s := h.Stats()
		return s.Auth["looked_up"]+s.Auth["rejected"] == clients
	})
	for _, c := range dialled {
		if c := <-c; c != nil {
			defer c.CloseNow()
		}
	}
	for _, info := range allClients(t, h) {
		if info.UserID == "before" {
			t.Errorf("client %d was revoked and is still there", info.ID)
		}
	}
}

// docs/protocol.md section 4: while nobody answers, ended sessions don't stay, and newcomers don't wait behind them.
func TestEndedSessionsGoWhileNobodyAnswers(t *testing.T) {
	const clients = 12
	var hangs atomic.Bool
	asked, release := make(chan struct{}, clients), make(chan struct{})
	auth := AuthenticatorFunc(func(_ context.Context, token string) (*Identity, error) {
		if token == "t" && hangs.Load() { // not even when its ctx ends
			asked <- struct{}{}
			<-release
		}
		return &Identity{UserID: "u", Expires: time.Now().Add(time.Hour), Token: token}, nil
	})
	h := start(t, func(o *Options) { o.Auth, o.Workers, o.AuthTimeout = auth, 2, time.Second })
	t.Cleanup(func() { close(release) })
	var ended []*listener
	for range clients {
		ended = append(ended, listen(t, h, "t", ""))
	}
	hangs.Store(true)
	err := h.engine.Visit(t.Context(), nil, func(c *eventloop.Client) { c.ExpireAt(time.Now()) })
	if err != nil {
		t.Fatal(err)
	}
	<-asked
	stays := listen(t, h, "newcomer", "")
	for _, l := range ended {
		if code, reason := l.ended(); code != 1013 || reason != "authentication is unavailable, try again later" {
			t.Errorf("closed with %d %q", code, reason)
		}
	}
	stays.sendAndSettle(`{"type":"presence"}`)
	if n := h.ClientCount(); n != 1 {
		t.Errorf("%d clients", n)
	}
}
