package rows_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/rows"
	"github.com/busbar-ws/busbar/internal/ask"
	"github.com/busbar-ws/busbar/internal/leaks"
	"github.com/busbar-ws/busbar/internal/wstest"
)

func TestMain(m *testing.M) { leaks.Main(m) }

var caller = &hub.Identity{UserID: "u1", Tenant: "t1"}

func provider(t *testing.T, o rows.Options, f http.HandlerFunc) *rows.HTTP {
	t.Helper()
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	o.URL = srv.URL
	h, err := rows.NewHTTP(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func TestQuestion(t *testing.T) {
	questions := make(chan map[string]any, 1)
	h := provider(t, rows.Options{}, func(w http.ResponseWriter, r *http.Request) {
		var q map[string]any
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || r.Method != "POST" {
			t.Errorf("%s, %v", r.Method, err)
		}
		questions <- q
	})
	for _, id := range []*hub.Identity{caller, {Admin: true}} {
		if _, ok, err := h.Fetch(t.Context(), id, "Todo", `r"1`); !ok || err != nil {
			t.Fatal(ok, err)
		}
		q := <-questions
		if len(q) != 5 || q["user_id"] != id.UserID || q["tenant_id"] != id.Tenant || q["is_admin"] != id.Admin || q["entity"] != "Todo" || q["row_id"] != `r"1` {
			t.Errorf("asked %v", q)
		}
	}
}

// docs/protocol.md section 2: a row that the caller may not read and one that doesn't exist look the same.
func TestAnswers(t *testing.T) {
	const maxBytes = 1000
	for _, c := range []struct {
		name   string
		status int
		body   string
		ok     bool
		fails  bool
	}{
		{"payload", 200, "\x00\xff binary \n", true, false},
		{"empty payload", 200, "", true, false},
		{"largest payload", 200, strings.Repeat("x", maxBytes), true, false},
		{"too large", 200, strings.Repeat("x", maxBytes+1), false, true},
		{"forbidden", 403, "no", false, false},
		{"not found", 404, "no", false, false},
		{"no id of a row", 400, "no", false, false},
		{"gone", 410, "no", false, false},
		{"no id of a row, said otherwise", 422, "no", false, false},
		{"unauthorized", 401, "no", false, true},
		{"asked wrongly", 405, "no", false, true},
		{"timeout", 408, "no", false, true},
		{"asked too often", 429, "no", false, true},
		{"failing", 500, "no", false, true},
		{"no content", 204, "", false, true},
		{"redirect", 302, "", false, true},
		{"redirect with body", 308, "", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := provider(t, rows.Options{MaxBytes: maxBytes}, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/elsewhere" {
					t.Error("a redirect was followed")
				}
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(c.status)
				io.WriteString(w, c.body)
			})
			payload, ok, err := h.Fetch(t.Context(), caller, "Todo", "t_1")
			if ok != c.ok || (err != nil) != c.fails || ok && string(payload) != c.body {
				t.Errorf("%q, %v, %v", payload, ok, err)
			}
		})
	}
}

func TestServiceThatPromisesMoreThanItSends(t *testing.T) {
	h := provider(t, rows.Options{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "short")
	})
	if payload, ok, err := h.Fetch(t.Context(), caller, "Todo", "t_1"); ok || err == nil {
		t.Errorf("%q, %v, %v", payload, ok, err)
	}
}

func TestEndlessAnswer(t *testing.T) {
	h := provider(t, rows.Options{MaxBytes: 1 << 20}, func(w http.ResponseWriter, _ *http.Request) {
		for b := make([]byte, 1<<16); ; {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	})
	if _, ok, err := h.Fetch(t.Context(), caller, "Todo", "t_1"); ok || !errors.Is(err, ask.ErrTooLarge) {
		t.Errorf("%v, %v", ok, err)
	}
}

func TestTimeouts(t *testing.T) {
	stop := make(chan struct{})
	h := provider(t, rows.Options{Timeout: 50 * time.Millisecond}, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(200)
		w.(http.Flusher).Flush() // headers in time, the body never
		<-stop
	})
	t.Cleanup(func() { close(stop) }) // runs before the server's Close, which waits
	if _, ok, err := h.Fetch(t.Context(), caller, "Todo", "t_1"); ok || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, %v", ok, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, ok, err := h.Fetch(ctx, caller, "Todo", "t_1"); ok || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", ok, err)
	}
}

func TestErrorsShowNoSecrets(t *testing.T) {
	h, err := rows.NewHTTP(rows.Options{URL: "http://me:p4ssword@127.0.0.1:1/rows?k3y"})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	_, ok, err := h.Fetch(t.Context(), caller, "Todo", "t_1")
	if ok || err == nil || !strings.Contains(err.Error(), "127.0.0.1:1/rows") {
		t.Fatalf("%v, %v", ok, err)
	}
	if strings.Contains(err.Error(), "p4ssword") || strings.Contains(err.Error(), "k3y") {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"", "rows", "unix:///x", "http://%zz:p4ssword@x"} {
		if _, err := rows.NewHTTP(rows.Options{URL: bad}); err == nil || strings.Contains(err.Error(), "p4ssword") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// What is read of payloads is counted as buffered while the service sends it, and not any more when it has failed.
func TestPayloadsAreCountedWhileTheyAreRead(t *testing.T) {
	const fetches, size = 16, 100_000
	for _, c := range []struct {
		name    string
		length  string
		counted int64 // at least, of each
	}{
		{"length known", strconv.Itoa(size), size},
		{"length unknown", "", 64 << 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			var sent atomic.Int64
			let := make(chan struct{})
			fetcher := provider(t, rows.Options{Timeout: wstest.Patience, MaxBytes: 1 << 20}, func(w http.ResponseWriter, r *http.Request) {
				if c.length != "" {
					w.Header().Set("Content-Length", c.length)
				}
				_, _ = w.Write(make([]byte, size-1))
				_ = http.NewResponseController(w).Flush()
				sent.Add(1)
				<-let
			})
			free := sync.OnceFunc(func() { close(let) })
			t.Cleanup(free) // before the server's Close, which waits
			h, err := hub.New(hub.Options{
				Auth: hub.AuthenticatorFunc(func(_ context.Context, token string) (*hub.Identity, error) {
					return &hub.Identity{UserID: token}, nil
				}),
				Rows:  hub.RowOptions{Fetch: fetcher.Fetch, Timeout: wstest.Patience},
				Loops: eventloop.Options{Listen: "127.0.0.1:0", Loops: 1, Accept: eventloop.AcceptOptions{MaxPerAddress: -1}},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = h.Shutdown(t.Context()) }()
			counted := func() int64 { return h.Stats().Buffered["outside"] }
			var clients []*wstest.Client
			for i := range fetches {
				c := wstest.Connect(t, "ws://"+h.Addr().String(), fmt.Sprint("user", i))
				c.Send(`{"type":"crdt-subscribe","entity":"E","rowId":"r"}`)
				clients = append(clients, c)
			}
			wstest.Eventually(t, "what is read is counted", func() bool { return sent.Load() == fetches && counted() >= fetches*c.counted })
			for _, c := range clients {
				_ = c.CloseNow()
			}
			wstest.Eventually(t, "nothing is", func() bool { return counted() == 0 })
		})
	}
}
