package httpapi

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// docs/protocol.md section 5, GET /v1/laggards, /v1/closes and /v1/losses: who is behind, whose connection ended and who
// lost what, with who they are, of all clients or of one.
func TestLaggardsClosesAndLosses(t *testing.T) {
	s := start(t, func(o *hub.Options, _ *Options) {
		o.Loops.SendBuffer, o.Loops.Slow = 4096, eventloop.SlowOptions{Policy: eventloop.DropOldest, LagBytes: 50_000}
	})
	began := time.Now().Add(-time.Second)
	stuck, err := wstest.DialRaw(t, "127.0.0.1", s.hub.Addr().String(), wstest.SmallWindow)
	if err != nil {
		t.Fatal(err)
	}
	if err := stuck.Upgrade("/?since=0", "Authorization: Bearer "+s.session("bob", "acme")); err != nil {
		t.Fatal(err)
	}
	s.connect(s.session("alice", ""))
	var behind struct {
		Laggards []hub.Laggard
		Lagging  int
	}
	var losses struct {
		Losses []hub.Lost
		Since  time.Time
	}
	change := fmt.Sprintf(`{"entity":"E","row_id":"r","kind":"update","data":%q,"audience":{"users":["bob"]}}`, strings.Repeat("x", 5000))
	for len(losses.Losses) == 0 {
		s.want(s.admin("POST", "/v1/changes", change), 200, nil)
		s.want(s.admin("GET", "/v1/laggards", ""), 200, &behind)
		s.want(s.admin("GET", "/v1/losses?user=bob", ""), 200, &losses)
	}
	lost := losses.Losses[0]
	if len(losses.Losses) != 1 || lost.Cause != "slow" || lost.UserID != "bob" || lost.Tenant != "acme" || lost.Messages == 0 ||
		lost.Seqs == nil || lost.Address != "127.0.0.1" || lost.At.Before(began) || losses.Since.Before(began.Add(-time.Minute)) {
		t.Errorf("lost: %+v, since %v", losses.Losses, losses.Since)
	}
	if len(behind.Laggards) != 1 || behind.Lagging != 1 {
		t.Fatalf("behind: %+v", behind)
	}
	if g := behind.Laggards[0]; g.ID != lost.ID || g.UserID != "bob" || g.State != "lagging" || g.Bytes < 20_000 || g.Messages < 4 || g.Since.Before(began) {
		t.Errorf("behind: %+v", g)
	}
	var answer hub.Answer
	s.want(s.admin("GET", fmt.Sprintf("/v1/why?client=%d&seq=%d", lost.ID, lost.Seqs.To), ""), 200, &answer)
	if answer.Verdict != hub.VerdictLost || answer.Cause != "slow" || answer.UserID != "bob" || answer.Tenant != "acme" {
		t.Errorf("why: %+v", answer)
	}
	s.wantError(s.admin("GET", "/v1/why?client=99999999&seq=1", ""), 404, "NOT_FOUND")
	s.wantError(s.admin("GET", fmt.Sprintf("/v1/why?client=%d&seq=1", 1<<50), ""), 409, "OTHER_NODE")
	s.want(s.admin("DELETE", fmt.Sprint("/v1/clients/", lost.ID), ""), 204, nil)
	var closes struct {
		Closes []hub.Closed
		Since  time.Time
	}
	for _, which := range []string{"", fmt.Sprint("?client=", lost.ID), "?user=bob&limit=5"} {
		s.want(s.admin("GET", "/v1/closes"+which, ""), 200, &closes)
		if len(closes.Closes) != 1 || closes.Closes[0].ID != lost.ID || closes.Closes[0].UserID != "bob" || closes.Closes[0].Cause != "server_closed" {
			t.Errorf("closes %s: %+v", which, closes)
		}
	}
	for _, none := range []string{"/v1/closes?user=alice", "/v1/closes?limit=0", "/v1/losses?user=alice"} {
		if w := s.admin("GET", none, ""); !strings.Contains(w.Body.String(), `:[],"since":"`) {
			t.Errorf("%s is %s", none, w.Body)
		}
	}
}

// docs/protocol.md section 5: what -metrics serves asks for no token, and has nothing but numbers and probes. Its requests
// are counted with the API's.
func TestMetricsWithoutAToken(t *testing.T) {
	var o Options
	s := start(t, func(_ *hub.Options, given *Options) {
		given.Registry = nil
		given.setDefaults(nil)
		o = *given
	})
	alice := s.connect(s.session("alice-7", "tenant-7"))
	alice.Send(`{"type":"subscribe","topic":"topic-7"}`)
	alice.Send(`{"type":"crdt-subscribe","entity":"Entity7","rowId":"row-7"}`)
	s.want(s.admin("PUT", "/v1/rows/Entity7/row-7", "x"), 204, nil)
	wstest.Eventually(t, "the client has subscribed", func() bool { return s.hub.SubscriptionCount() == 2 })
	h := NewMetrics(s.hub, o)
	scrape := func(method, target string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder() // openapi.yaml is about the API
		h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
		return w
	}
	for target, status := range map[string]int{
		"GET /metrics": 200, "HEAD /metrics": 200, "GET /healthz": 200, "GET /readyz": 200, "POST /metrics": 405,
		"GET /v1/stats": 404, "GET /v1/clients": 404, "GET /v1/closes": 404, "GET /debug/pprof/": 404, "GET /openapi.yaml": 404, "POST /v1/changes": 404,
		"GET /": 404, "GET /demo": 404, "GET /api/sync/pull": 501,
	} {
		method, path, _ := strings.Cut(target, " ")
		s.want(scrape(method, path), status, nil)
	}
	if w := scrape("OPTIONS", "*"); w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("OPTIONS *: %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
	numbers := scrape("GET", "/metrics").Body.String()
	for _, name := range []string{"alice-7", "tenant-7", "topic-7", "Entity7", "row-7", "127.0.0.1", `client="`, `user="`} {
		if strings.Contains(numbers, name) {
			t.Errorf("%s is in the numbers", name)
		}
	}
}

// unread is an answer that nobody takes before the test ends.
type unread struct {
	*httptest.ResponseRecorder
	begun chan<- struct{}
	ended <-chan struct{}
}

func (u unread) Write(b []byte) (int, error) {
	select {
	case u.begun <- struct{}{}:
		<-u.ended
	case <-u.ended:
	}
	return len(b), nil
}

// Those who don't read their scrapes keep nobody else from one.
func TestMetricsThatNobodyReads(t *testing.T) {
	var o Options
	s := start(t, func(_ *hub.Options, given *Options) {
		given.Registry = nil
		given.setDefaults(nil)
		o = *given
	})
	h := NewMetrics(s.hub, o)
	begun, ended := make(chan struct{}), make(chan struct{})
	var handlers sync.WaitGroup
	defer handlers.Wait()
	defer close(ended)
	for range 2 * scrapesAtOnce {
		handlers.Go(func() {
			h.ServeHTTP(unread{httptest.NewRecorder(), begun, ended}, httptest.NewRequest("GET", "/metrics", nil))
		})
		<-begun
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if s.want(w, 200, nil); !strings.Contains(w.Body.String(), "\nbusbar_http_panics_total 0\n") {
		t.Errorf("%s", w.Body)
	}
}

// blocking keeps each scrape for as long as the test wants.
type blocking struct{ begun, end chan struct{} }

func (b blocking) Describe(chan<- *prometheus.Desc) {}
func (b blocking) Collect(chan<- prometheus.Metric) {
	b.begun <- struct{}{}
	select {
	case <-b.end:
	case <-time.After(patience):
	}
}

// Four scrapes without a token are served at a time, and probes beside them.
func TestScrapesAtOnce(t *testing.T) {
	var o Options
	slow := blocking{make(chan struct{}, scrapesAtOnce+1), make(chan struct{})}
	s := start(t, func(_ *hub.Options, given *Options) {
		given.Registry.MustRegister(slow)
		o = *given
	})
	h := NewMetrics(s.hub, o)
	scrape := func(target string) int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", target, nil))
		return w.Code
	}
	var all sync.WaitGroup
	for range scrapesAtOnce {
		all.Go(func() { _ = scrape("/metrics") })
	}
	for range scrapesAtOnce {
		<-slow.begun
	}
	if fifth, probe := scrape("/metrics"), scrape("/readyz"); fifth != 503 || probe != 200 {
		t.Errorf("beside four scrapes another gets %d, and a probe %d", fifth, probe)
	}
	close(slow.end)
	all.Wait()
}
