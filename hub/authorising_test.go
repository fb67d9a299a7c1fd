package hub

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// asked is a lookup that waits for the test to answer it.
type asked struct {
	token  string
	answer chan *Identity // nil: unauthorized
}

// asking is an Authenticator that leaves every answer to the test.
func asking(lookups chan asked) AuthenticatorFunc {
	return func(ctx context.Context, token string) (*Identity, error) {
		a := asked{token, make(chan *Identity, 1)}
		lookups <- a
		select {
		case id := <-a.answer:
			if id == nil {
				return nil, ErrUnauthorized
			}
			return id, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// connecting dials a hub whose Authenticator doesn't answer yet.
func connecting(t *testing.T, h *Hub, token string) <-chan *client {
	dialled := make(chan *client, 1)
	go func() {
		c, _, err := dial(t, h, token, "")
		if err != nil {
			t.Errorf("dialling: %v", err)
		}
		dialled <- c
	}()
	return dialled
}

// docs/protocol.md section 1: until identity is known a connection is in no broadcast, and what it sends
// isn't acted on; afterwards it is, in order.
func TestFramesSentDuringLookup(t *testing.T) {
	lookups := make(chan asked, 8)
	h := start(t, func(o *Options) { o.Auth, o.AuthTimeout = asking(lookups), patience })
	dialled := connecting(t, h, "bob")
	(<-lookups).answer <- &Identity{UserID: "bob"}
	bob := listenOn(t, <-dialled)

	raw := rawUpgrade(t, h, "alice", maskedText(`{"type":"presence","n":1}`)+maskedText(`{"type":"presence","n":2}`)+maskedText(`{"type":"presence","n":3}`))
	lookup := <-lookups
	if err := h.PublishPresence("", []byte(`{"before":true}`)); err != nil {
		t.Fatal(err)
	}
	bob.gets(`{"before":true}`)
	if n := h.ClientCount(); n != 1 {
		t.Fatalf("%d clients while one is looked up", n)
	}
	lookup.answer <- &Identity{UserID: "alice"}
	for n := range 3 {
		bob.gets(fmt.Sprintf(`{"type":"presence","n":%d,"from":"alice"}`, n+1))
	}
	if got := readRaw(t, raw, `"n":3`); strings.Contains(got, "before") || !strings.Contains(got, `"n":1`) {
		t.Errorf("alice got %q", got)
	}
}

// The same, rejected: nothing of it is acted on.
func TestFramesSentBeforeRejection(t *testing.T) {
	lookups := make(chan asked, 8)
	h := start(t, func(o *Options) { o.Auth, o.AuthTimeout = asking(lookups), patience })
	dialled := connecting(t, h, "bob")
	(<-lookups).answer <- &Identity{UserID: "bob"}
	bob := listenOn(t, <-dialled)
	raw := rawUpgrade(t, h, "mallory", maskedText(`{"type":"presence","n":1}`))
	(<-lookups).answer <- nil
	readRaw(t, raw, "unauthorized: token invalid or expired")
	nothingMore(t, h, bob)
}

// rawUpgrade sends an upgrade request and more right behind it, as no library does.
func rawUpgrade(t *testing.T, h *Hub, token, more string) *wstest.Raw {
	t.Helper()
	return rawRequest(t, h, "/", token, more)
}

func rawRequest(t *testing.T, h *Hub, path, token, more string) *wstest.Raw {
	t.Helper()
	raw, err := wstest.DialRaw(t, "", h.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	raw.Say(wstest.Request(path, "Authorization: Bearer "+token) + more)
	return raw
}

// maskedText is a client's text frame.
func maskedText(text string) string { return wstest.Frame(ws.OpText, text) }

// readRaw reads until what was read contains want.
func readRaw(t *testing.T, conn net.Conn, want string) string {
	t.Helper()
	var got strings.Builder
	buffer := make([]byte, 4096)
	for !strings.Contains(got.String(), want) {
		n, err := conn.Read(buffer)
		got.Write(buffer[:n])
		if err != nil {
			t.Fatalf("%v before %q, after %q", err, want, got.String())
		}
	}
	return got.String()
}
