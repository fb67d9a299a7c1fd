package hub

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/internal/leaks"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// TestMain fails when goroutines or descriptors are left. Those that are there before the tests belong to
// the worker pool that gnet starts when it is imported; a worker waits ten seconds for more
// connections that change loops.
func TestMain(m *testing.M) {
	leaks.Main(m, leaks.IdleWorkers)
}

const patience = wstest.Patience

var (
	eventually = wstest.Eventually
	comesTrue  = wstest.ComesTrue
)

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
	setDefault(&o.Log, ChangeLog(NewMemoryLog(0, 0)))
	if log, ok := o.Log.(interface{ Resume(uint64) }); ok {
		log.Resume(0) // tests count events from 1
	}
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = h.Shutdown(ctx)
		h.queues.close(ctx) // functions that are deaf to their contexts keep what is theirs until they return
		for kind, bytes := range h.Stats().Buffered {
			if bytes != 0 && kind != "messages" { // which the collector frees
				t.Errorf("%d bytes of %s are buffered for nobody", bytes, kind)
			}
		}
	})
	return h
}

type client = wstest.Client

func dial(t testing.TB, h *Hub, token, query string) (*client, *http.Response, error) {
	t.Helper()
	return dialWith(t, h, query, wstest.Bearer(token))
}

func dialWith(t testing.TB, h *Hub, query string, o *websocket.DialOptions) (*client, *http.Response, error) {
	t.Helper()
	return wstest.Dial(t, "ws://"+h.Addr().String()+"/"+query, o)
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
