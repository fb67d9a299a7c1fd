package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/strictjson"
)

// deaf is an API for what is answered before any hub is asked.
func deaf(t *testing.T, o Options) *api {
	t.Helper()
	o.Registry = prometheus.NewRegistry()
	o.Logger = slog.New(slog.DiscardHandler)
	return New(&hub.Hub{}, o).(*api)
}

// ask sends one request; headers are pairs. It and its answer must be as openapi.yaml describes them.
func ask(h http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if err := checkDocumented(r, body, w); err != nil {
		if t, ok := h.(testing.TB); ok {
			t.Errorf("%s %.100s: %.500v: %.300s", method, target, err, w.Body)
		} else {
			panic(fmt.Sprintf("%s %.100s: %.500v: %.300s", method, target, err, w.Body))
		}
	}
	return w
}

// errorOf is the error object of an answer.
func errorOf(t *testing.T, w *httptest.ResponseRecorder) failure {
	t.Helper()
	var answer struct{ Error *failure }
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Error == nil {
		t.Fatalf("status %d with the body %q is not an error object (%v)", w.Code, w.Body, err)
	}
	if ct := w.Header().Get("Content-Type"); ct != "application/json" {
		t.Errorf("Content-Type %q, want application/json", ct)
	}
	if answer.Error.Code == "" || answer.Error.Message == "" {
		t.Errorf("error without code or message: %s", w.Body)
	}
	return *answer.Error
}

// docs/protocol.md section 5: JSON errors with the right status, for everything.
func TestNoSuchCall(t *testing.T) {
	a := deaf(t, Options{})
	tests := []struct {
		method, target string
		status         int
		code, allow    string
	}{
		{"GET", "/", 404, "NOT_FOUND", ""},
		{"GET", "/v2/changes", 404, "NOT_FOUND", ""},
		{"GET", "/demo", 404, "NOT_FOUND", ""},
		{"POST", "/v1//changes", 404, "NOT_FOUND", ""},
		{"PUT", "/v1/rows/Todo/../x", 404, "NOT_FOUND", ""},
		{"PUT", "/v1/rows/Todo/", 404, "NOT_FOUND", ""},
		{"POST", "/v1/topics/a/b", 404, "NOT_FOUND", ""},
		// docs/protocol.md section 5: Pylon's clients take 404 for "gone".
		{"GET", "/api/entities/Todo/t_1", 501, "NOT_IMPLEMENTED", ""},
		{"HEAD", "/api/entities/Todo/t_1", 501, "", ""},
		{"PATCH", "/api/entities/Todo/t_1", 501, "NOT_IMPLEMENTED", ""},
		{"DELETE", "/api/entities/Todo/t_1", 501, "NOT_IMPLEMENTED", ""},
		{"GET", "/api/entities/Todo/", 501, "NOT_IMPLEMENTED", ""},
		{"GET", "/api/entities//t_1", 501, "NOT_IMPLEMENTED", ""},
		{"GET", "/api/entities/Todo/..", 501, "NOT_IMPLEMENTED", ""},
		{"GET", "/api/entities/Todo/cursor?limit=%", 501, "NOT_IMPLEMENTED", ""},
		{"GET", "//api/entities/Todo/t_1", 501, "NOT_IMPLEMENTED", ""},
		{"POST", "/api/sync/push", 501, "NOT_IMPLEMENTED", ""},
		{"POST", "/api/fn/addTodo", 501, "NOT_IMPLEMENTED", ""},
		{"DELETE", "/api/auth/session", 501, "NOT_IMPLEMENTED", ""},
		{"GET", "/api/sync", 501, "NOT_IMPLEMENTED", ""},
		{"GET", "/api/sync/", 501, "NOT_IMPLEMENTED", ""},
		{"GET", "/api", 501, "NOT_IMPLEMENTED", ""},
		{"GET", "/api/no/such/thing", 501, "NOT_IMPLEMENTED", ""},
		{"GET", "/apis", 404, "NOT_FOUND", ""},
		{"GET", "/API/entities/Todo/t_1", 404, "NOT_FOUND", ""},
		{"POST", "/api/sync/pull", 405, "METHOD_NOT_ALLOWED", "GET, HEAD"},
		{"GET", "/api/auth/guest", 405, "METHOD_NOT_ALLOWED", "POST"},
		{"POST", "/api/sync/ws", 405, "METHOD_NOT_ALLOWED", "GET, HEAD"},
		{"GET", "/v1/changes", 405, "METHOD_NOT_ALLOWED", "POST"},
		{"DELETE", "/healthz", 405, "METHOD_NOT_ALLOWED", "GET, HEAD"},
		{"OPTIONS", "/v1/changes", 405, "METHOD_NOT_ALLOWED", "POST"},
	}
	for _, tt := range tests {
		w := ask(a, tt.method, tt.target, "")
		e := errorOf(t, w)
		if w.Code != tt.status || tt.code != "" && e.Code != tt.code {
			t.Errorf("%s %s: got %d %s, want %d %s", tt.method, tt.target, w.Code, e.Code, tt.status, tt.code)
		}
		if got := w.Header().Get("Allow"); got != tt.allow {
			t.Errorf("%s %s: Allow %q, want %q", tt.method, tt.target, got, tt.allow)
		}
	}
}

// docs/protocol.md section 5: every call except health and pull needs the admin token.
func TestCallsWithoutAToken(t *testing.T) {
	a := start(t, everything)
	user, admins := a.session("u", ""), 0
	for _, call := range describedCalls(t) {
		if call.open {
			continue
		}
		admins++
		for _, header := range []string{"", "Basic YTpi", "Bearer", "Bearer  "} {
			w := ask(a, call.method, call.target, "", "Authorization", header)
			if e := errorOf(t, w); w.Code != 401 || e.Code != "UNAUTHORIZED" || w.Header().Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%s %s with Authorization %q: got %d %s, want 401 with WWW-Authenticate", call.method, call.target, header, w.Code, e.Code)
			}
		}
		a.wantError(a.as(user, call.method, call.target, ""), 403, "FORBIDDEN")
		a.wantError(a.as("unknown", call.method, call.target, ""), 401, "UNAUTHORIZED")
		a.wantError(a.as("down", call.method, call.target, ""), 503, "AUTH_UNAVAILABLE")
	}
	if admins < 20 {
		t.Errorf("%d calls are for admins", admins)
	}
}

func TestFailureOf(t *testing.T) {
	unread := strictjson.Unmarshal([]byte("{}"), new(bool)) // by something other than the caller
	tests := []struct {
		err    error
		status int
		code   string
	}{
		{&hub.FieldError{Field: "kind", Message: "no"}, 400, "INVALID_FIELD"},
		{&hub.ResyncError{OldestSeq: 5}, 410, "RESYNC_REQUIRED"},
		{hub.ErrTooLarge, 413, "TOO_LARGE"},
		{&http.MaxBytesError{Limit: 1}, 413, "TOO_LARGE"},
		{fmt.Errorf("listing clients: %w", context.Canceled), 503, "UNAVAILABLE"},
		{fmt.Errorf("listing clients: %w", eventloop.ErrStopped), 503, "DRAINING"},
		{errors.New("open /secret/path: denied"), 500, "INTERNAL"},
		{fmt.Errorf("a stored session: %w", unread), 500, "INTERNAL"},
		{fmt.Errorf("%w: an answer: %w", hub.ErrPeers, unread), 503, "NODES_UNREACHABLE"},
	}
	for _, tt := range tests {
		f := failureOf(tt.err)
		if f.status != tt.status || f.Code != tt.code {
			t.Errorf("%v: got %d %s, want %d %s", tt.err, f.status, f.Code, tt.status, tt.code)
		}
		if strings.Contains(f.Message, "secret") {
			t.Errorf("%v: the answer tells what only the log may: %s", tt.err, f.Message)
		}
	}
}

func TestPanicsCostOneRequest(t *testing.T) {
	demo := http.NewServeMux()
	demo.HandleFunc("/demo/early", func(http.ResponseWriter, *http.Request) { panic("early") })
	demo.HandleFunc("/demo/late", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(200)
		panic("late")
	})
	var log strings.Builder
	a := deaf(t, Options{Demo: demo})
	a.Logger = slog.New(slog.NewTextHandler(&log, nil))

	for range 3 {
		w := ask(a, "GET", "/demo/early", "")
		if e := errorOf(t, w); w.Code != 500 || e.Code != "INTERNAL" {
			t.Errorf("got %d %s, want 500 INTERNAL", w.Code, e.Code)
		}
	}
	if n := strings.Count(log.String(), "stack="); n != 1 {
		t.Errorf("%d stacks are logged of one place, want 1", n)
	}
	func() {
		defer func() {
			if recover() != http.ErrAbortHandler {
				t.Error("an answer that was cut off must end its connection")
			}
		}()
		ask(a, "GET", "/demo/late", "")
	}()
	if n := testutil.ToFloat64(a.counts.panics); n != 4 {
		t.Errorf("%v panics counted, want 4", n)
	}
	if n := testutil.ToFloat64(a.counts.requests.WithLabelValues("/demo/", "5xx")); n != 4 {
		t.Errorf("%v requests of class 5xx counted, want 4", n)
	}
}

func TestRequestsAreCountedByRoute(t *testing.T) {
	a := start(t, func(_ *hub.Options, o *Options) { o.Demo = http.NotFoundHandler() }).Handler.(*api)
	for _, target := range []string{"/v1/topics/a", "/v1/topics/b"} {
		ask(a, "POST", target, "{}")
	}
	ask(a, "GET", "/made/up", "")
	ask(a, "GET", "/made/up/too", "")
	ask(a, "GET", "/demo/nothing", "")
	ask(a, "GET", "/healthz", "")
	ask(a, "OPTIONS", "/healthz", "", "Origin", "http://example.com", "Access-Control-Request-Method", "GET")
	want := []struct {
		route, class string
		n            float64
	}{
		{"POST /v1/topics/{topic}", "4xx", 2}, {"unmatched", "4xx", 2}, {"/demo/", "4xx", 1},
		{"GET /healthz", "2xx", 1}, {"preflight", "2xx", 1},
	}
	for _, tt := range want {
		if n := testutil.ToFloat64(a.counts.requests.WithLabelValues(tt.route, tt.class)); n != tt.n {
			t.Errorf("%v requests of %s %s, want %v", n, tt.route, tt.class, tt.n)
		}
	}
	if n := testutil.CollectAndCount(a.counts.requests); n != len(want) {
		t.Errorf("%d series, want %d", n, len(want))
	}
}

func TestTwoAPIsShareARegistry(t *testing.T) {
	reg := prometheus.NewRegistry()
	for range 2 {
		ask(New(&hub.Hub{}, Options{Registry: reg}), "GET", "/healthz", "")
	}
	if n := testutil.ToFloat64(newCounts(reg).requests.WithLabelValues("GET /healthz", "2xx")); n != 2 {
		t.Errorf("%v requests counted, want 2", n)
	}
}
