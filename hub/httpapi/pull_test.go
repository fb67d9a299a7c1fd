package httpapi

import (
	"fmt"
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/hub"
)

// pulled is the answer of a pull as a client sees it.
type pulled struct {
	Changes []struct {
		Seq   uint64
		RowID string `json:"row_id"`
	}
	Cursor struct {
		LastSeq uint64 `json:"last_seq"`
	}
	HasMore *bool `json:"has_more"`
}

func (p pulled) String() string {
	var b strings.Builder
	for _, c := range p.Changes {
		fmt.Fprintf(&b, "%d ", c.Seq)
	}
	return fmt.Sprintf("%scursor %d more %v", b.String(), p.Cursor.LastSeq, *p.HasMore)
}

// publish publishes n changes of rows 1 to n.
func (s *server) publish(n int) {
	s.Helper()
	for i := range n {
		c := hub.Change{Entity: "T", RowID: fmt.Sprint(i + 1), Kind: hub.Delete}
		if _, err := s.hub.PublishChange(c); err != nil {
			s.Fatal(err)
		}
	}
}

// docs/protocol.md section 5: GET /api/sync/pull.
func TestPull(t *testing.T) {
	s := start(t, nil)
	token := s.session("u", "")
	tests := []struct{ query, want string }{
		{"", "1 2 3 4 5 cursor 5 more false"},
		{"?since=0", "1 2 3 4 5 cursor 5 more false"},
		{"?since=3", "4 5 cursor 5 more false"},
		{"?since=5", "cursor 5 more false"},
		{"?since=1&limit=2", "2 3 cursor 3 more true"},
		{"?since=3&limit=2", "4 5 cursor 5 more false"},
		{"?since=3&limit=999999", "4 5 cursor 5 more false"},
		{"?since=3&limit=0", "cursor 3 more true"},
		{"?since=5&limit=0", "cursor 5 more false"},
	}
	var p pulled
	s.want(s.as(token, "GET", "/api/sync/pull", ""), 200, &p)
	if p.Changes == nil || p.String() != "cursor 0 more false" {
		t.Errorf("from an empty log: got %v (changes %v), want an empty list", p, p.Changes)
	}
	s.publish(5)
	for _, tt := range tests {
		for _, token := range []string{token, adminToken} {
			var p pulled
			s.want(s.as(token, "GET", "/api/sync/pull"+tt.query, ""), 200, &p)
			if p.String() != tt.want {
				t.Errorf("%s: got %v, want %s", tt.query, p, tt.want)
			}
		}
	}
}

// docs/protocol.md section 5: at most 100 unless asked for, at most 1,000.
func TestPullLimits(t *testing.T) {
	s := start(t, nil)
	s.publish(1001)
	for query, want := range map[string]int{"": 100, "?limit=1000": 1000, "?limit=1001": 1000, "?limit=18446744073709551616": 1000, "?limit=" + strings.Repeat("9", 100): 1000} {
		var p pulled
		s.want(s.admin("GET", "/api/sync/pull"+query, ""), 200, &p)
		if len(p.Changes) != want || !*p.HasMore {
			t.Errorf("%q: %d changes, more %v; want %d and more", query, len(p.Changes), *p.HasMore, want)
		}
	}
}

// docs/protocol.md section 5: a cursor from the future, or older than what is retained, is 410 RESYNC_REQUIRED.
func TestPullResync(t *testing.T) {
	s := start(t, func(ho *hub.Options, _ *Options) { ho.Log = hub.NewMemoryLog(3, 0) })
	s.publish(10)
	for _, since := range []string{"1", "6", "11", "18446744073709551615"} {
		e := s.wantError(s.admin("GET", "/api/sync/pull?since="+since, ""), 410, "RESYNC_REQUIRED")
		if e.OldestSeq == nil || *e.OldestSeq != 8 {
			t.Errorf("since=%s: got %+v, want oldest_seq 8", since, e)
		}
	}
	for since, said := range map[string]string{"0": `"has_more":false,"complete":false}`, "7": `"has_more":false}`, "10": `"has_more":false}`} {
		w := s.admin("GET", "/api/sync/pull?since="+since, "")
		if w.Code != 200 || !strings.HasSuffix(w.Body.String(), said+"\n") {
			t.Errorf("since=%s: %d %s, want it to end with %s", since, w.Code, w.Body, said)
		}
	}
}

// docs/protocol.md section 5: pull takes a client's token or the admin's.
func TestPullIsForClients(t *testing.T) {
	s := start(t, nil)
	s.wantError(ask(s, "GET", "/api/sync/pull", ""), 401, "UNAUTHORIZED")
	s.wantError(s.as("unknown", "GET", "/api/sync/pull", ""), 401, "UNAUTHORIZED")
	s.wantError(s.as("down", "GET", "/api/sync/pull", ""), 503, "AUTH_UNAVAILABLE")
	for _, query := range []string{"since=-1", "since=x", "limit=-1", "limit=many", "since=18446744073709551616"} {
		e := s.wantError(s.admin("GET", "/api/sync/pull?"+query, ""), 400, "INVALID_FIELD")
		if name, _, _ := strings.Cut(query, "="); e.Field != name {
			t.Errorf("%s: field %q", query, e.Field)
		}
	}
}

// docs/protocol.md section 3: an event for a narrower audience is nobody else's, when pulled too.
func TestPullKeepsToTheAudience(t *testing.T) {
	s := start(t, nil)
	for _, to := range []hub.Audience{{Users: []string{"u"}}, {Tenant: "acme"}, {}} {
		if _, err := s.hub.PublishChange(hub.Change{Entity: "T", RowID: "1", Kind: hub.Delete, Audience: to}); err != nil {
			t.Fatal(err)
		}
	}
	for token, want := range map[string]string{
		s.session("u", ""):     "1 3 cursor 3 more false",
		s.session("v", "acme"): "2 3 cursor 3 more false",
		adminToken:             "1 2 3 cursor 3 more false",
	} {
		var p pulled
		s.want(s.as(token, "GET", "/api/sync/pull", ""), 200, &p)
		if p.String() != want {
			t.Errorf("got %v, want %s", p, want)
		}
	}
}
