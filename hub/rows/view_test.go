package rows_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/rows"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// viewHub is a hub whose log has had 100 and 101, and whose new clients get what a service answers.
func viewHub(t *testing.T, maxBytes int64, f http.HandlerFunc) (h *hub.Hub, logged *bytes.Buffer) {
	t.Helper()
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	views, err := rows.NewViews(rows.Options{URL: srv.URL, MaxBytes: maxBytes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = views.Close() })
	log := hub.NewMemoryLog(0, 0)
	log.Resume(99)
	logged = new(bytes.Buffer)
	h, err = hub.New(hub.Options{
		Auth: hub.AuthenticatorFunc(func(_ context.Context, token string) (*hub.Identity, error) {
			return &hub.Identity{UserID: token, Tenant: "acme"}, nil
		}),
		Views: hub.ViewOptions{Fetch: views.Fetch, Timeout: wstest.Patience}, Log: log,
		Logger: slog.New(slog.NewTextHandler(logged, nil)),
		Loops:  eventloop.Options{Listen: "127.0.0.1:0", Loops: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Shutdown(context.Background()) })
	for range 2 {
		if _, err := h.PublishChange(hub.Change{Entity: "Todo", RowID: "t", Kind: hub.Update, Timestamp: "1Z"}); err != nil {
			t.Fatal(err)
		}
	}
	return h, logged
}

func event(seq int, data string) string {
	return fmt.Sprintf(`{"seq":%d,"entity":"Todo","row_id":"t_%d","kind":"insert","data":%s,"timestamp":"1Z"}`, seq, seq, data)
}

func newcomer(t *testing.T, h *hub.Hub) *wstest.Client {
	t.Helper()
	return wstest.Connect(t, "ws://"+h.Addr().String()+"/?since=0", "alice")
}

func TestViews(t *testing.T) {
	questions := make(chan map[string]any, 1)
	long := `"` + strings.Repeat("x", 200_000) + `"` // longer than what is read at once
	h, _ := viewHub(t, 1<<20, func(w http.ResponseWriter, r *http.Request) {
		var q map[string]any
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || r.Method != "POST" {
			t.Errorf("%s, %v", r.Method, err)
		}
		questions <- q
		fmt.Fprint(w, "{\"begin\":100}\n", event(7, `{"title":"milk"}`), "\r\n\n", event(8, long), "\n", ` { "end" : 100 } `)
	})
	c := newcomer(t, h)
	for _, want := range []string{event(7, `{"title":"milk"}`), event(8, long)} {
		c.Expect(websocket.MessageText, want)
	}
	c.Expect(websocket.MessageText, `{"seq":101,"entity":"Todo","row_id":"t","kind":"update","timestamp":"1Z"}`)
	if q := <-questions; len(q) != 3 || q["user_id"] != "alice" || q["tenant_id"] != "acme" || q["is_admin"] != false {
		t.Errorf("asked %v", q)
	}
}

// A service that takes its time has each event reach its client when it comes, also behind a half of the next one.
func TestViewsAreGivenAsTheyCome(t *testing.T) {
	goOn := make(chan struct{})
	h, _ := viewHub(t, 1<<20, func(w http.ResponseWriter, _ *http.Request) {
		for _, part := range []string{"{\"begin\":100}\n", event(7, "1") + "\n", event(8, "2") + "\n" + event(9, "3")[:30], event(9, "3")[30:] + "\n", `{"end":100}`} {
			fmt.Fprint(w, part)
			_ = http.NewResponseController(w).Flush()
			if strings.HasPrefix(part, `{"seq"`) {
				<-goOn
			}
		}
	})
	defer close(goOn)
	c := newcomer(t, h)
	for i, want := range []string{event(7, "1"), event(8, "2"), event(9, "3")} {
		c.Expect(websocket.MessageText, want)
		if i < 2 {
			goOn <- struct{}{}
		}
	}
	c.Expect(websocket.MessageText, `{"seq":101,"entity":"Todo","row_id":"t","kind":"update","timestamp":"1Z"}`)
}

// What isn't a whole view ends its client with 1013, and the log says why.
func TestViewsThatAreNotTaken(t *testing.T) {
	const begin, end = `{"begin":101}` + "\n", `{"end":101}` + "\n"
	one := event(1, "1") + "\n"
	for name, c := range map[string]struct {
		status int // 200 if it is zero
		answer string
		why    string
	}{
		"breaks off":              {answer: begin + one, why: "line 2 is the last, and it isn't the end"},
		"breaks off in a line":    {answer: begin + event(1, "1")[:30], why: "line 2 of"},
		"breaks off in HTTP":      {answer: begin + one + "ABORT", why: "read answer"},
		"is empty":                {answer: "", why: "line 0 is the last"},
		"is HTML":                 {answer: "<html>", why: "line 1 of"},
		"is no object":            {answer: "[]\n", why: "is expected"},
		"has no beginning":        {answer: one + end, why: "line 1 of the snapshot service's answer: {\\\"begin\\\":N} is expected"},
		"has two":                 {answer: begin + begin + end, why: "line 2 of"},
		"ends with another":       {answer: begin + one + `{"end":100}`, why: "the end's seq is 100, the beginning's 101"},
		"goes on behind its end":  {answer: begin + end + one, why: "line 3 of the snapshot service's answer: it is behind the end"},
		"has junk in its end":     {answer: begin + `{"end":101,"x":1}`, why: "line 2 of"},
		"has no number":           {answer: `{"begin":"101"}` + "\n" + end, why: "line 1 of"},
		"has a negative number":   {answer: `{"begin":-1}` + "\n" + end, why: "line 1 of"},
		"is above all seqs":       {answer: `{"begin":9007199254740992}` + "\n", why: "is above 9007199254740991"},
		"doesn't rise":            {answer: begin + one + one + end, why: "seqs don't rise"},
		"has an unknown name":     {answer: begin + `{"seq":1,"entity":"E","row_id":"r","kind":"insert","x":1}` + "\n" + end, why: "line 2 of"},
		"has a line too large":    {answer: begin + event(1, `"`+strings.Repeat("x", 300_000)+`"`) + "\n" + end, why: "a line has over 262144 bytes"},
		"has an event above it":   {answer: begin + event(102, "1") + "\n" + end, why: "event 102 is above the view's seq 101"},
		"is forbidden":            {status: 403, answer: begin + end, why: "unexpected status 403"},
		"is failing":              {status: 500, answer: begin + end, why: "unexpected status 500"},
		"is elsewhere":            {status: 302, answer: begin + end, why: "redirect"},
		"is a part (status 206)":  {status: 206, answer: begin + end, why: "unexpected status 206"},
		"isn't there (no answer)": {answer: "HANGUP", why: "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			h, logged := viewHub(t, 256<<10, func(w http.ResponseWriter, _ *http.Request) {
				if c.answer == "HANGUP" {
					panic(http.ErrAbortHandler)
				}
				if c.status != 0 {
					w.Header().Set("Location", "/elsewhere")
					w.WriteHeader(c.status)
				}
				answer, abort := strings.CutSuffix(c.answer, "ABORT")
				_, _ = io.WriteString(w, answer)
				if abort {
					_ = http.NewResponseController(w).Flush()
					panic(http.ErrAbortHandler)
				}
			})
			newcomer(t, h).ExpectClose(1013)
			ctx, cancel := context.WithTimeout(t.Context(), wstest.Patience)
			defer cancel()
			if err := h.Shutdown(ctx); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(logged.String(), c.why) {
				t.Errorf("the log doesn't say %q: %s", c.why, logged)
			}
		})
	}
}

// What a service is asked ends with the client that it is asked for, and so does what is held of its answer.
func TestViewsEndWithTheirClients(t *testing.T) {
	asked, gone := make(chan struct{}), make(chan struct{})
	h, _ := viewHub(t, 1<<20, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or it isn't noticed that the hub has gone
		fmt.Fprint(w, "{\"begin\":100}\n", event(7, "1"), "\n")
		_ = http.NewResponseController(w).Flush()
		close(asked)
		<-r.Context().Done()
		close(gone)
	})
	c := newcomer(t, h)
	<-asked
	if n := h.Stats().Buffered["outside"]; n < 64<<10 {
		t.Errorf("%d bytes are counted", n)
	}
	_ = c.CloseNow()
	select {
	case <-gone:
	case <-time.After(wstest.Patience):
		t.Error("it is read for nobody")
	}
	wstest.Eventually(t, "nothing is held", func() bool { return h.Stats().Buffered["outside"] == 0 })
}
