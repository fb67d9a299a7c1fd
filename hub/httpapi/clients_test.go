package httpapi

import (
	"fmt"
	"strings"
	"testing"

	"github.com/coder/websocket"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// docs/protocol.md section 5: GET /v1/clients lists connections in pages.
func TestListClients(t *testing.T) {
	s := start(t, nil)
	var page clientPage
	s.want(s.admin("GET", "/v1/clients", ""), 200, &page)
	if page.Clients == nil || len(page.Clients) != 0 || page.Next != nil {
		t.Errorf("without clients: got %+v, want an empty list and no next", page)
	}
	for i := range 5 {
		s.connect(s.session(fmt.Sprint("u", i), "acme"))
	}
	users := make(map[string]int)
	after := uint64(0)
	for pages := 1; ; pages++ {
		var page clientPage
		s.want(s.admin("GET", fmt.Sprintf("/v1/clients?after=%d&limit=2", after), ""), 200, &page)
		for _, c := range page.Clients {
			users[c.UserID]++
			if c.ID <= after {
				t.Errorf("client %d comes after %d", c.ID, after)
			}
			after = c.ID
			if c.Tenant != "acme" || c.Address == "" || c.ConnectedAt.IsZero() {
				t.Errorf("got %+v, want tenant, address and time", c)
			}
		}
		if page.Next == nil {
			if pages != 3 {
				t.Errorf("%d pages, want 3", pages)
			}
			break
		}
		if *page.Next != after {
			t.Errorf("next is %d, want the page's last, %d", *page.Next, after)
		}
	}
	if got := fmt.Sprint(users); got != "map[u0:1 u1:1 u2:1 u3:1 u4:1]" {
		t.Errorf("got %s, want everybody once", got)
	}
}

// docs/protocol.md section 5: DELETE /v1/clients/{id} disconnects; docs/protocol.md section 3: with close code 1008.
func TestDisconnectClient(t *testing.T) {
	s := start(t, nil)
	c := s.connect(s.session("u", ""))
	var page clientPage
	s.want(s.admin("GET", "/v1/clients", ""), 200, &page)
	target := fmt.Sprintf("/v1/clients/%d", page.Clients[0].ID)
	s.want(s.admin("DELETE", target, ""), 204, nil)
	c.ExpectClose(websocket.StatusPolicyViolation)
	s.wantError(s.admin("DELETE", "/v1/clients/999999", ""), 404, "NOT_FOUND")
	for _, id := range []string{"x", "-1", "1.5"} {
		s.wantError(s.admin("DELETE", "/v1/clients/"+id, ""), 400, "INVALID_FIELD")
	}
}

// docs/protocol.md section 5: DELETE /v1/users/{user}/clients disconnects a user, or one tenant's, and nobody else.
func TestDisconnectUser(t *testing.T) {
	s := start(t, nil)
	plain, acme, other := s.connect(s.session("a/b", "")), s.connect(s.session("a/b", "acme")), s.connect(s.session("c", ""))
	s.want(s.admin("DELETE", "/v1/users/nobody/clients", ""), 204, nil)
	s.want(s.admin("DELETE", "/v1/users/a%2Fb/clients?tenant=acme", ""), 204, nil)
	acme.ExpectClose(websocket.StatusPolicyViolation)
	s.publish(1)
	plain.Text()
	s.want(s.admin("DELETE", "/v1/users/a%2Fb/clients", ""), 204, nil)
	plain.ExpectClose(websocket.StatusPolicyViolation)
	s.publish(1)
	other.Text()
	other.Text()
	s.wantError(s.admin("DELETE", "/v1/users/c/clients?tenant=", ""), 400, "INVALID_FIELD")
	s.wantError(s.admin("DELETE", "/v1/users/%ff/clients", ""), 400, "INVALID_FIELD")
}

// docs/protocol.md section 5: DELETE /v1/rows/{entity}/{row}/subscribers/{user} ends a user's subscriptions to a
// row, and nobody else's.
func TestEndRowSubscriptions(t *testing.T) {
	s := start(t, nil)
	for _, user := range []string{"a/b", "a/b", "c"} {
		s.connect(s.session(user, "")).Send(`{"type":"crdt-subscribe","entity":"E/F","rowId":"r"}`)
	}
	s.connect(s.session("a/b", "acme")).Send(`{"type":"crdt-subscribe","entity":"E/F","rowId":"r"}`)
	subscribed := func(n int) {
		t.Helper()
		wstest.Eventually(t, fmt.Sprint(n, " subscriptions"), func() bool { return s.hub.SubscriptionCount() == n })
	}
	subscribed(4)
	for _, step := range []struct {
		target string
		left   int
	}{
		{"E%2FF/r/subscribers/nobody", 4}, {"E%2FF/other/subscribers/a%2Fb", 4},
		{"E%2FF/r/subscribers/a%2Fb?tenant=acme", 3}, {"E%2FF/r/subscribers/a%2Fb?tenant=acme", 3},
		{"E%2FF/r/subscribers/a%2Fb", 1},
	} {
		s.want(s.admin("DELETE", "/v1/rows/"+step.target, ""), 204, nil)
		if n := s.hub.SubscriptionCount(); n != step.left {
			t.Errorf("%s: %d subscriptions are left, want %d", step.target, n, step.left)
		}
	}
}

// docs/protocol.md section 5: a session may be let publish, and nothing more, for as long as it is one.
func TestWhoMayPublish(t *testing.T) {
	var publisher string
	s := start(t, func(_ *hub.Options, o *Options) { o.MayPublish = func(token string) bool { return token == publisher } })
	publisher = s.session("u", "")
	const change = `{"entity":"T","row_id":"1","kind":"delete"}`
	s.want(s.as(publisher, "POST", "/v1/changes", change), 200, nil)
	s.want(s.as(publisher, "PUT", "/v1/rows/a/b", "x"), 204, nil)
	for _, call := range []string{"GET /v1/clients", "DELETE /v1/clients/1", "GET /v1/stats", "GET /metrics", "POST /v1/sessions"} {
		method, target, _ := strings.Cut(call, " ")
		s.wantError(s.as(publisher, method, target, ""), 403, "FORBIDDEN")
	}
	s.wantError(s.as(s.session("u", ""), "POST", "/v1/changes", change), 403, "FORBIDDEN")
	if w := s.as(publisher, "GET", "/api/auth/me", ""); !strings.Contains(w.Body.String(), `"roles":["publisher"]`) {
		t.Errorf("got %s", w.Body)
	}
	s.want(s.admin("DELETE", "/v1/sessions/"+publisher, ""), 204, nil)
	s.wantError(s.as(publisher, "POST", "/v1/changes", change), 401, "UNAUTHORIZED")
}

// docs/protocol.md section 5: /v1/stats and /metrics have numbers for people and for Prometheus.
func TestNumbers(t *testing.T) {
	s := start(t, func(_ *hub.Options, o *Options) { o.Registry = nil })
	s.connect(s.session("u", ""))
	s.publish(3)
	var stats struct {
		Connections int
		LastSeq     uint64 `json:"last_seq"`
	}
	s.want(s.admin("GET", "/v1/stats", ""), 200, &stats)
	if stats.Connections != 1 || stats.LastSeq != 3 {
		t.Errorf("got %+v, want 1 connection and seq 3", stats)
	}

	w := s.admin("GET", "/metrics", "")
	s.want(w, 200, nil)
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(w.Body.String()))
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range families {
		if f.GetHelp() == "" || f.GetType() == dto.MetricType_UNTYPED {
			t.Errorf("%s has no HELP or no TYPE", name)
		}
	}
	for _, name := range []string{"busbar_connections", "busbar_http_requests_total", "busbar_http_panics_total", "go_goroutines"} {
		if families[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
}

// docs/protocol.md section 5: probes need no token; /readyz is 503 while the server drains.
func TestProbes(t *testing.T) {
	s := start(t, nil)
	s.want(ask(s, "GET", "/healthz", ""), 200, nil)
	s.want(ask(s, "GET", "/readyz", ""), 200, nil)
	s.shutdown()
	s.wantError(ask(s, "GET", "/readyz", ""), 503, "DRAINING")
	s.want(ask(s, "GET", "/healthz", ""), 200, nil)
}
