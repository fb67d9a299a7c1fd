package hub

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/internal/leaks"
)

// TestMain fails when goroutines or descriptors are left. Those that are there before the tests belong to
// the worker pool that gnet starts when it is imported; a worker waits ten seconds for more
// connections that change loops.
func TestMain(m *testing.M) {
	leaks.Main(m, leaks.IdleWorkers)
}

// patience bounds every wait of a test: nothing waits for time to pass, so it is only
// reached by a test that fails.
const patience = time.Minute

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// namesAre is an Authenticator that takes "user", "user@tenant" and "ADMIN" as tokens.
var namesAre = AuthenticatorFunc(func(_ context.Context, token string) (*Identity, error) {
	user, tenant, _ := strings.Cut(token, "@")
	switch {
	case user == "" || strings.HasPrefix(user, "nobody"):
		return nil, ErrUnauthorized
	case user == "ADMIN":
		return &Identity{Admin: true}, nil
	}
	return &Identity{UserID: user, Tenant: tenant}, nil
})

// start runs a hub on a free port until the test ends.
func start(t testing.TB, change func(*Options)) *Hub {
	t.Helper()
	o := Options{Auth: namesAre, Loops: eventloop.Options{Listen: "127.0.0.1:0", Loops: 2}}
	if change != nil {
		change(&o)
	}
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = h.Shutdown(ctx)
		for kind, bytes := range h.Stats().Buffered {
			if bytes != 0 {
				t.Errorf("%d bytes of %s are buffered for nobody", bytes, kind)
			}
		}
	})
	return h
}

// client is a connection made by a library that isn't ours.
type client struct {
	*websocket.Conn
	t testing.TB
}

func dial(t testing.TB, h *Hub, token, query string) (*client, *http.Response, error) {
	t.Helper()
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	return dialWith(t, h, query, &websocket.DialOptions{HTTPHeader: header})
}

func dialWith(t testing.TB, h *Hub, query string, o *websocket.DialOptions) (*client, *http.Response, error) {
	t.Helper()
	conn, resp, err := websocket.Dial(within(t), "ws://"+h.Addr().String()+"/"+query, o)
	if err != nil {
		return nil, resp, err
	}
	conn.SetReadLimit(64 << 20)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &client{conn, t}, resp, nil
}

// connect dials and waits until the client is in broadcasts.
func connect(t testing.TB, h *Hub, token string) *client {
	t.Helper()
	return connectQuery(t, h, token, "")
}

func connectQuery(t testing.TB, h *Hub, token, query string) *client {
	t.Helper()
	c, _, err := dial(t, h, token, query)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *client) read() (websocket.MessageType, []byte) {
	c.t.Helper()
	kind, b, err := c.Read(within(c.t))
	if err != nil {
		c.t.Fatalf("reading: %v", err)
	}
	return kind, b
}

// text reads one message, which must be text.
func (c *client) text() string {
	c.t.Helper()
	kind, b := c.read()
	if kind != websocket.MessageText {
		c.t.Fatalf("got a binary message of %d bytes where text was expected", len(b))
	}
	return string(b)
}

func (c *client) send(text string) {
	c.t.Helper()
	if err := c.Write(within(c.t), websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatalf("sending %s: %v", text, err)
	}
}

// closed reads until the server's Close and returns its code and reason.
func (c *client) closed() (websocket.StatusCode, string) {
	c.t.Helper()
	for {
		_, _, err := c.Read(within(c.t))
		if err == nil {
			continue
		}
		var closed websocket.CloseError
		if !errors.As(err, &closed) {
			c.t.Fatalf("ended without Close: %v", err)
		}
		return closed.Code, closed.Reason
	}
}

// eventually waits for a condition that has no event to wait for.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	if !comesTrue(ok) {
		t.Fatalf("not within %v: %s", patience, what)
	}
}

// comesTrue looks at a condition again and again, until it holds or patience is over.
func comesTrue(ok func() bool) bool {
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for over := time.After(patience); !ok(); {
		select {
		case <-again.C:
		case <-over:
			return false
		}
	}
	return true
}
