package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/client"
	"github.com/busbar-ws/busbar/internal/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m, leaks.IdleWorkers) }

// soon bounds each test.
const soon = time.Minute

// scripted is a server made of somebody else's implementation, whose n-th connection (from 0) runs script.
func scripted(t *testing.T, script func(ctx context.Context, n int, c *websocket.Conn, r *http.Request)) (url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	var connections atomic.Int32
	var handlers sync.WaitGroup
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handlers.Add(1)
		defer handlers.Done()
		if c, err := websocket.Accept(w, r, nil); err == nil {
			defer c.CloseNow()
			script(ctx, int(connections.Add(1))-1, c, r)
		}
	}))
	t.Cleanup(func() {
		cancel()
		s.CloseClientConnections()
		handlers.Wait()
		s.Close()
	})
	return "ws" + strings.TrimPrefix(s.URL, "http")
}

func say(ctx context.Context, c *websocket.Conn, messages ...string) {
	for _, text := range messages {
		_ = c.Write(ctx, websocket.MessageText, []byte(text))
	}
}

func event(seq uint64) string {
	return fmt.Sprintf(`{"seq":%d,"entity":"T","row_id":"1","kind":"delete"}`, seq)
}

func resync(seq uint64) string { return fmt.Sprintf(`{"type":"resync","oldest_seq":1,"seq":%d}`, seq) }

var errEnough = errors.New("enough")

// until runs a client up to a seq and returns the seqs that it handled.
func until(t *testing.T, url string, last uint64, o client.Options) (seqs []uint64) {
	t.Helper()
	o.Handle = func(_ context.Context, m client.Message) error {
		if m.Change != nil {
			if seqs = append(seqs, m.Change.Seq); m.Change.Seq == last {
				return errEnough
			}
		}
		return nil
	}
	if o.Token == nil {
		o.Token = client.Token("token")
	}
	o.MinDelay, o.MaxDelay = time.Millisecond, 10*time.Millisecond
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	if err := client.New(url, o).Run(ctx); !errors.Is(err, errEnough) {
		t.Fatalf("after %v: %v", seqs, err)
	}
	return seqs
}

// docs/protocol.md section 1: each connection begins with the cursor; a repeat is handed over once.
func TestResumes(t *testing.T) {
	var since []string
	url := scripted(t, func(ctx context.Context, n int, c *websocket.Conn, r *http.Request) {
		since = append(since, r.URL.Query().Get("since"))
		_, subscription, _ := c.Read(ctx)
		since = append(since, string(subscription))
		switch n {
		case 0:
			say(ctx, c, resync(5))
		case 1:
			say(ctx, c, event(6), event(7), event(6), event(8))
		default:
			say(ctx, c, event(8), event(9))
			_, _, _ = c.Read(ctx)
		}
	})
	o := client.Options{Since: new(uint64(client.Latest)), Subscribe: []client.Subscription{{Entity: "Doc", RowID: "1"}}}
	if seqs := until(t, url, 9, o); !slices.Equal(seqs, []uint64{6, 7, 8, 9}) {
		t.Errorf("handled %v", seqs)
	}
	const row = `{"entity":"Doc","rowId":"1","type":"crdt-subscribe"}`
	if want := []string{"9007199254740991", row, "5", row, "8", row}; !slices.Equal(since, want) {
		t.Errorf("the server saw %q", since)
	}
}

// docs/protocol.md section 3, Gap and Resync: lost events are pulled, ahead of those that follow; of what the log has
// no more, and of what couldn't be fetched, the application hears.
func TestFetchesWhatWasLost(t *testing.T) {
	var pulls []string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pulls = append(pulls, r.URL.Query().Get("since"))
		switch since := r.URL.Query().Get("since"); {
		case r.Header.Get("Authorization") != "Bearer token":
			t.Errorf("%s has the wrong token", r.URL)
		case len(pulls) == 1:
			w.WriteHeader(http.StatusInternalServerError)
		case since == "1":
			fmt.Fprintf(w, `{"changes":[%s,%s],"cursor":{"last_seq":3},"has_more":true}`, event(2), event(3))
		case since == "3":
			fmt.Fprintf(w, `{"changes":[%s],"cursor":{"last_seq":5},"has_more":false}`, event(4))
		default:
			w.WriteHeader(http.StatusGone)
		}
	}))
	defer api.Close()
	defer api.Client().CloseIdleConnections()
	url := scripted(t, func(ctx context.Context, n int, c *websocket.Conn, _ *http.Request) {
		if n == 0 {
			say(ctx, c, event(1))
		}
		say(ctx, c, `{"type":"gap","from":2,"to":4}`, resync(5), event(5), event(6), resync(8), event(9))
		_, _, _ = c.Read(ctx)
	})
	var refetched []uint64
	seqs := until(t, url, 9, client.Options{API: api.URL, HTTPClient: api.Client(), Since: new(uint64(0)),
		Refetch: func(_ context.Context, seq uint64) (uint64, error) {
			refetched = append(refetched, seq)
			return seq, nil
		}})
	if want := []uint64{1, 2, 3, 4, 6, 9}; !slices.Equal(seqs, want) {
		t.Errorf("handled %v, want %v", seqs, want)
	}
	if !slices.Equal(pulls, []string{"1", "1", "3", "6"}) || !slices.Equal(refetched, []uint64{8}) {
		t.Errorf("pulled %v, refetched %v", pulls, refetched)
	}
}

// Without the API another connection brings what was lost, and a log that is too new has all fetched anew.
func TestWithoutTheAPI(t *testing.T) {
	url := scripted(t, func(ctx context.Context, n int, c *websocket.Conn, r *http.Request) {
		switch r.URL.Query().Get("since") {
		case "1":
			say(ctx, c, resync(3), event(4), resync(6), event(7))
		case "4":
			say(ctx, c, event(5), event(6), event(7))
		default:
			t.Errorf("asked for %s", r.URL)
		}
		_, _, _ = c.Read(ctx)
	})
	failures := 1
	seqs := until(t, url, 7, client.Options{Since: new(uint64(1)), Refetch: func(_ context.Context, seq uint64) (uint64, error) {
		if failures--; failures == 0 {
			return 0, errors.New("the backend is down")
		}
		return seq, nil
	}})
	if want := []uint64{4, 5, 6, 7}; !slices.Equal(seqs, want) {
		t.Errorf("handled %v, want %v", seqs, want)
	}
}

// An answer that says that there is more, and brings nothing, isn't asked for without a pause.
func TestPullsThatBringNothing(t *testing.T) {
	pulls := 0
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		pulls++
		_, _ = io.WriteString(w, `{"changes":[],"cursor":{"last_seq":1},"has_more":true}`)
	}))
	defer api.Close()
	url := scripted(t, func(ctx context.Context, n int, c *websocket.Conn, _ *http.Request) {
		say(ctx, c, `{"type":"gap","from":2,"to":3}`, resync(3))
		_, _, _ = c.Read(ctx)
	})
	var failed error
	o := client.Options{Token: client.Token("x"), Since: new(uint64(1)), API: api.URL, Retry: func(err error) bool { failed = err; return false }}
	o.Handle = func(context.Context, client.Message) error { return nil }
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	if err := client.New(url, o).Run(ctx); err == nil || err != failed || pulls != 1 {
		t.Errorf("%v, retry after %v, %d pulls", err, failed, pulls)
	}
}

// What is pulled is read as strictly as what comes over the WebSocket: the cursor goes nowhere else.
func TestPullsThatCanBeReadInTwoWays(t *testing.T) {
	for _, answer := range []string{
		`{"changes":[{"seq":2,"entity":"T","row_id":"1","kind":"update","SEQ":9}],"Cursor":{"last_seq":9},"cursor":{"last_seq":3,"LAST_SEQ":9},"has_more":false}`,
		`{"changes":[{"seq":2,"seq":9,"entity":"T","row_id":"1","kind":"update"}],"cursor":{"last_seq":9},"has_more":false}`,
		`{"changes":[{"SEQ":9,"entity":"T","row_id":"1","kind":"update"}],"cursor":{"last_seq":9},"has_more":false}`,
		`{"changes":[` + event(9) + `],"changes":[],"cursor":{"last_seq":9},"has_more":false}`,
		`{"changes":[` + event(9) + `],"cursor":{"last_seq":9},"has_more":false,"complete":null}`,
		`{"changes":[{"type":"topic","seq":9,"entity":"T","row_id":"1","kind":"update"}],"cursor":{"last_seq":9},"has_more":false}`,
	} {
		api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) }))
		url := scripted(t, func(ctx context.Context, _ int, c *websocket.Conn, _ *http.Request) {
			say(ctx, c, `{"type":"gap","from":2,"to":3}`, resync(3), `{"type":"topic","topic":"end"}`)
			_, _, _ = c.Read(ctx)
		})
		ended := errors.New("ended")
		o := client.Options{Token: client.Token("x"), Since: new(uint64(1)), API: api.URL, HTTPClient: api.Client(), Retry: func(error) bool { return false }}
		o.Handle = func(_ context.Context, m client.Message) error {
			if m.Change != nil && m.Change.Seq > 3 {
				t.Errorf("%s: handled %d", answer, m.Change.Seq)
			}
			if m.Type == "topic" {
				return ended
			}
			return nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), soon)
		c := client.New(url, o)
		_ = c.Run(ctx)
		if ctx.Err() != nil {
			t.Errorf("%s: it didn't end", answer)
		}
		if cursor, _ := c.Cursor(); cursor > 3 {
			t.Errorf("%s: the cursor is at %d", answer, cursor)
		}
		cancel()
		api.Client().CloseIdleConnections()
		api.Close()
	}
}

// docs/protocol.md section 1: with -routing subscribed a client subscribes first and then pulls what it has missed.
func TestSubscribesBeforeItPulls(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("since") != "1" {
			t.Errorf("pulled with %s", r.URL)
		}
		fmt.Fprintf(w, `{"changes":[%s,%s],"cursor":{"last_seq":4},"has_more":false}`, event(3), event(4))
	}))
	defer api.Close()
	defer api.Client().CloseIdleConnections()
	url := scripted(t, func(ctx context.Context, _ int, c *websocket.Conn, r *http.Request) {
		if since := r.URL.Query().Get("since"); since != fmt.Sprint(client.Latest) {
			t.Errorf("connected with %s", since)
		}
		say(ctx, c, resync(3))
		for _, want := range []string{`{"entity":"T","type":"subscribe"}`, `{"type":"ping"}`} {
			if _, text, err := c.Read(ctx); string(text) != want {
				t.Errorf("got %s, %v", text, err)
			}
		}
		say(ctx, c, event(4), `{"type":"pong"}`, event(5))
		_, _, _ = c.Read(ctx)
	})
	seqs := until(t, url, 5, client.Options{API: api.URL, HTTPClient: api.Client(), Since: new(uint64(1)), Subscribe: []client.Subscription{{Entity: "T"}}})
	if want := []uint64{3, 4, 5}; !slices.Equal(seqs, want) {
		t.Errorf("handled %v, want %v", seqs, want)
	}
}

// A refused token is asked for anew, over the WebSocket and with -reject=http; the same again is the end.
func TestTokens(t *testing.T) {
	url := scripted(t, func(ctx context.Context, n int, c *websocket.Conn, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer token 2" {
			_ = c.Close(websocket.StatusPolicyViolation, "session expired")
			return
		}
		say(ctx, c, event(1))
		_, _, _ = c.Read(ctx)
	})
	var asked []string
	until(t, url, 1, client.Options{Token: func(_ context.Context, refused error) (string, error) {
		if asked = append(asked, fmt.Sprint(refused)); len(asked) == 2 {
			return "", errors.New("nobody answers")
		}
		return fmt.Sprint("token ", len(asked)/2+1), nil
	}})
	const expired = `the server closed the connection with 1008, "session expired"`
	if !slices.Equal(asked, []string{"<nil>", expired, expired}) {
		t.Errorf("asked because of %q", asked)
	}
	var states []client.Phase
	closed := (*client.CloseError)(nil)
	err := client.New(url, client.Options{Token: client.Token("old"), State: func(s client.State) { states = append(states, s.Phase) },
		Handle: func(context.Context, client.Message) error { return nil }}).Run(t.Context())
	if !errors.As(err, &closed) || closed.Code != 1008 || !slices.Equal(states, []client.Phase{client.Connecting}) {
		t.Errorf("a token that doesn't change: %v, %v", err, states)
	}
}

// A connection on which nothing comes is given up; one whose handler takes its time isn't.
func TestSilence(t *testing.T) {
	url := scripted(t, func(ctx context.Context, n int, c *websocket.Conn, r *http.Request) {
		say(ctx, c, event(uint64(n+1)))
		if n == 0 {
			<-ctx.Done() // pings aren't read
		}
		reading := c.CloseRead(ctx)
		time.AfterFunc(100*time.Millisecond, func() { say(ctx, c, event(3)) }) // several pings later
		<-reading.Done()
	})
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	var lost []error
	err := client.New(url, client.Options{
		Token: client.Token("token"), MinDelay: time.Millisecond, Quiet: 10 * time.Millisecond, Patience: 200 * time.Millisecond,
		Handle: func(_ context.Context, m client.Message) error {
			switch m.Change.Seq {
			case 2:
				time.Sleep(300 * time.Millisecond) // the handler that takes its time
			case 3:
				return errEnough
			}
			return nil
		},
		State: func(s client.State) {
			if s.Phase == client.Waiting {
				lost = append(lost, s.Err)
			}
		},
	}).Run(ctx)
	if !errors.Is(err, errEnough) || len(lost) != 1 || !errors.Is(lost[0], client.ErrSilent) {
		t.Errorf("ended with %v after %v", err, lost)
	}
}

// Messages, subscriptions and presence are sent from any goroutine, and the last two again on each connection.
func TestSends(t *testing.T) {
	got := make(chan string, 100)
	url := scripted(t, func(ctx context.Context, n int, c *websocket.Conn, r *http.Request) {
		say(ctx, c, fmt.Sprintf(`{"type":"topic","n":%d}`, n))
		for i := 0; ; i++ {
			_, text, err := c.Read(ctx)
			if err != nil || n == 0 && i == 4 {
				return
			}
			got <- string(text)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	open := make(chan bool, 10)
	c := client.New(url, client.Options{Token: client.Token("token"), MinDelay: time.Millisecond,
		Handle: func(_ context.Context, m client.Message) error { open <- m.Type == "topic"; return nil }})
	if err := c.Send(ctx, 1); !errors.Is(err, client.ErrNotConnected) {
		t.Errorf("sending without a connection: %v", err)
	}
	row := client.Subscription{Entity: "Doc", RowID: "1"}
	if err := errors.Join(c.Subscribe(ctx, row), c.Unsubscribe(ctx, row), c.SetPresence(ctx, map[string]any{"here": true})); err != nil {
		t.Error(err)
	}
	ended := make(chan error)
	go func() { ended <- c.Run(ctx) }()
	<-open
	err := errors.Join(c.Subscribe(ctx, client.Subscription{Topic: "a"}), c.Subscribe(ctx, client.Subscription{Entity: "T"}),
		c.Send(ctx, json.RawMessage(`{"type":"topic"}`)), c.Unsubscribe(ctx, client.Subscription{Entity: "T"}))
	if err != nil {
		t.Error(err)
	}
	<-open
	const topic, presence = `{"topic":"a","type":"subscribe"}`, `{"here":true,"type":"presence"}`
	for _, want := range []string{presence, topic, `{"entity":"T","type":"subscribe"}`, `{"type":"topic"}`, topic, presence} {
		select {
		case text := <-got:
			if text != want {
				t.Errorf("the server got %s, want %s", text, want)
			}
		case <-ctx.Done():
			t.Fatalf("the server never got %s", want)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run ended with %v", err)
	}
}
