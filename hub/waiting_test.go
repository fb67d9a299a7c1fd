package hub

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// hangs is true of what nobody ever answers.
func hangs(name string) bool { return strings.HasPrefix(name, "hang") }

// underwayOf counts the calls of an embedder's function that hang.
type underwayOf struct{ calls atomic.Int64 }

func (u *underwayOf) hang(ctx context.Context) error {
	u.calls.Add(1)
	defer u.calls.Add(-1)
	<-ctx.Done()
	return ctx.Err()
}

func (u *underwayOf) lookUp(ctx context.Context, token string) (*Identity, error) {
	if hangs(token) {
		return nil, u.hang(ctx)
	}
	return namesAre(ctx, token)
}

func (u *underwayOf) fetch(ctx context.Context, id *Identity, _, _ string) ([]byte, bool, error) {
	if hangs(id.UserID) {
		return nil, false, u.hang(ctx)
	}
	return []byte("x"), true, nil
}

func (q *queues) idle() bool {
	for _, queue := range q.all() {
		if s := queue.Stats(); s.Running+s.Waiting > 0 {
			return false
		}
	}
	return true
}

// dialFrom sends a request from an address, and reads nothing.
func dialFrom(t *testing.T, h *Hub, address, token string) *wstest.Raw {
	t.Helper()
	raw, err := wstest.DialRaw(t, address, h.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	raw.Say(wstest.Request("/", "Authorization: Bearer "+token))
	return raw
}

func (u *underwayOf) none(t *testing.T, h *Hub) {
	t.Helper()
	eventually(t, "nothing waits", func() bool { return h.queues.idle() && u.calls.Load() == 0 })
}

// Tokens that take for ever to look up, of clients that have gone: nobody waits for them.
func TestLookupsEndWithTheirClients(t *testing.T) {
	var u underwayOf
	h := start(t, func(o *Options) {
		o.Auth, o.AuthTimeout, o.Workers = AuthenticatorFunc(u.lookUp), time.Hour, 4
		o.Loops.Timeouts.Handshake = time.Hour
	})
	var all []*wstest.Raw
	for i := range 40 {
		all = append(all, dialFrom(t, h, "127.0.0.1", fmt.Sprint("hang", i)))
	}
	eventually(t, "all wait", func() bool { return h.Stats().Handshakes == 40 && u.calls.Load() > 0 })
	for i, c := range all {
		if i%2 == 0 {
			_ = c.Conn.(*net.TCPConn).SetLinger(0)
		}
		c.Close()
	}
	u.none(t, h)
	connect(t, h, "alice")
}

// An address whose tokens take for ever holds nobody else up, and is told to come again once it
// has its share of what may wait.
func TestLookupsAreSharedByAddress(t *testing.T) {
	var u underwayOf
	h := start(t, func(o *Options) {
		o.Auth, o.AuthTimeout, o.Workers, o.WorkerQueue = AuthenticatorFunc(u.lookUp), time.Hour, 8, 40
		o.Loops.Timeouts.Handshake = time.Hour
	})
	for i := range 23 { // 3 of 6 are looked up, 20 of 40 wait
		dialFrom(t, h, "127.0.0.1", fmt.Sprint("hang", i))
	}
	eventually(t, "all wait", func() bool { return h.Stats().Handshakes == 23 && u.calls.Load() == 3 })
	answer, err := http.ReadResponse(dialFrom(t, h, "127.0.0.1", "alice").R, nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
		t.Errorf("%s, Retry-After %q", answer.Status, answer.Header.Get("Retry-After"))
	}
	if answer, err = http.ReadResponse(dialFrom(t, h, "127.0.0.2", "alice").R, nil); err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("somebody else: %s", answer.Status)
	}
}

// Fetches of one user that take for ever hold nobody else up, of the same address neither, and
// end with the user's client.
func TestFetchesAreSharedByUser(t *testing.T) {
	var u underwayOf
	h := start(t, func(o *Options) { o.Rows.Fetch, o.Rows.Timeout = u.fetch, time.Hour })
	greedy := connect(t, h, "hang")
	for i := range 256 {
		greedy.Send(fmt.Sprintf(`{"type":"crdt-subscribe","entity":"E","rowId":"%d"}`, i))
	}
	eventually(t, "fetches hang", func() bool { return u.calls.Load() > 0 })
	modest := connect(t, h, "modest")
	modest.Send(`{"type":"crdt-subscribe","entity":"E","rowId":"r"}`)
	for kind := websocket.MessageText; kind != websocket.MessageBinary; {
		kind, _ = modest.Next()
	}
	greedy.CloseNow()
	u.none(t, h)
}
