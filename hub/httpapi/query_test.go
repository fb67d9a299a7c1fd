package httpapi

import (
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/hub"
)

// docs/protocol.md section 5: a parameter that is unknown, malformed, empty or repeated is an error on every call.
func TestQueries(t *testing.T) {
	s := start(t, everything)
	s.publish(5)
	since := []struct{ query, field string }{
		{"since=2999;limit=1", "query"}, {"since=2999%", "query"}, {"since=%zz", "query"}, {"since=1&%", "query"}, {"=1", "query"},
		{"sinse=3", "query"}, {"Since=3", "query"}, {"SINCE=3", "query"}, {"since[]=3", "query"}, {"%20since=3", "query"}, {"since=1&x=", "query"},
		{"since=1&since=2", "since"}, {"since=1&since=1", "since"}, {"since=1&%73ince=2", "since"}, {"limit=1&since=1&limit=1", "limit"},
		{"since=", "since"}, {"since", "since"}, {"since=&limit=1", "since"}, {"limit=", "limit"},
		{"since=-1", "since"}, {"since=+1", "since"}, {"since=%2B1", "since"}, {"since=1.5", "since"}, {"since=1e3", "since"}, {"since=0x10", "since"},
		{"since=1_000", "since"}, {"since=%201", "since"}, {"since=1%00", "since"}, {"since=%D9%A1", "since"}, {"since=null", "since"}, {"since=%ff", "since"},
		{"since=18446744073709551616", "since"}, {"limit=-1", "limit"}, {"limit=many", "limit"}, {"limit=99999999999999999999x", "limit"}, {"limit=+1", "limit"},
	}
	for _, tt := range since {
		for _, token := range []string{adminToken, s.session("u", "")} {
			e := s.wantError(s.as(token, "GET", "/api/sync/pull?"+tt.query, ""), 400, "INVALID_FIELD")
			if e.Field != tt.field {
				t.Errorf("pull?%s: field %q, want %q", tt.query, e.Field, tt.field)
			}
		}
	}
	for query, want := range map[string]string{
		"since=3": "4 5", "since=3&limit=1": "4 cursor", "limit=1&since=3&": "4 cursor", "%73ince=%33": "4 5", "since=003": "4 5", "": "1 2 3",
	} {
		var p pulled
		s.want(s.admin("GET", "/api/sync/pull?"+query, ""), 200, &p)
		if !strings.HasPrefix(p.String(), want) {
			t.Errorf("pull?%s: %v, want %s", query, p, want)
		}
	}
	for _, tt := range []struct{ method, target, field string }{
		{"GET", "/v1/clients?After=1", "query"}, {"GET", "/v1/clients?after=1&after=2", "after"}, {"GET", "/v1/clients?since=1", "query"}, {"GET", "/v1/clients?after=x", "after"},
		{"GET", "/v1/laggards?client=1", "query"}, {"GET", "/v1/closes?client=x", "client"}, {"GET", "/v1/losses?limit=-1", "limit"},
		{"GET", "/v1/why?client=1&seq=x", "seq"},
		{"PUT", "/v1/rows/E/1?Tenant=t", "query"}, {"PUT", "/v1/rows/E/1?tenant=", "tenant"}, {"PUT", "/v1/rows/E/1?tenant=a&tenant=b", "tenant"},
		{"PUT", "/v1/rows/E/1?tenant=%ff", "tenant"}, {"PUT", "/v1/rows/E/1?update=", "update"}, {"PUT", "/v1/rows/E/1?update=2", "update"}, {"PUT", "/v1/rows/E/1?tenant=a;update=1", "query"},
		{"POST", "/v1/changes?audience=u", "query"}, {"POST", "/v1/presence?x=t", "query"}, {"POST", "/v1/topics/t?x=t", "query"}, {"POST", "/v1/broadcast?x=1", "query"},
		{"POST", "/v1/sessions?ttl_seconds=1", "query"}, {"DELETE", "/v1/sessions/x?all", "query"}, {"DELETE", "/v1/clients/1?code=1", "query"}, {"DELETE", "/v1/rows/E/1/subscribers/u?tenant=", "tenant"}, {"DELETE", "/v1/rows/E/1/subscribers/%ff", "user"}, {"GET", "/v1/stats?x=%", "query"},
		{"GET", "/api/auth/me?token=x", "query"}, {"POST", "/api/auth/guest?x", "query"},
	} {
		body := ""
		if tt.method == "POST" || tt.method == "PUT" {
			body = "{}"
		}
		e := s.wantError(s.admin(tt.method, tt.target, body), 400, "INVALID_FIELD")
		if e.Field != tt.field {
			t.Errorf("%s %s: field %q, want %q", tt.method, tt.target, e.Field, tt.field)
		}
	}
	for _, call := range describedCalls(t) {
		for _, query := range []string{"surely_unknown=1", "a;b", "%zz"} {
			if w := s.admin(call.method, call.target+"?"+query, ""); call.parameters != (w.Code == 400) {
				t.Errorf("%s %s?%s: %d %s", call.method, call.target, query, w.Code, w.Body)
			}
		}
	}
	// Probes and scrapes read no query, whatever a load balancer or Prometheus adds.
	for _, target := range []string{"/healthz?x=%", "/readyz?a=1&a=1", "/metrics?collect[]=x"} {
		s.want(s.admin("GET", target, ""), 200, nil)
	}
}

// A number beyond what JSON's readers hold exactly, 2^53, is a cursor of the future like any other: who
// has one is told to fetch a full copy, and doesn't ask in vain for ever.
func TestPullOfAnImpossibleCursor(t *testing.T) {
	s := start(t, func(o *hub.Options, _ *Options) { o.Log = hub.NewMemoryLog(3, 0) })
	s.publish(1)
	for _, since := range []string{"9007199254740991", "9007199254740993", "18446744073709551615"} {
		s.wantError(s.admin("GET", "/api/sync/pull?since="+since, ""), 410, "RESYNC_REQUIRED")
	}
}
