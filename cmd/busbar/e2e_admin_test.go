//go:build !race && !racedaemon

package main

import (
	"strings"
	"testing"
)

// docs/protocol.md section 5, "Log and profiles": what an admin looks into a running server with.
func TestToolsOfAdmins(t *testing.T) {
	d := commonDaemon(t)
	level := func(text string) {
		t.Helper()
		d.adminCall("PUT", "/v1/log-level", `{"level":"`+text+`"}`, nil)
	}
	var before struct{ Level string }
	d.adminCall("GET", "/v1/log-level", "", &before)
	defer level(before.Level)
	start := len(d.log.String()) // other tests use the server too, and this one may have before
	warned := func() bool {      // at most once a second
		for _, tenant := range []string{"acme", "other"} {
			d.adminCall("PUT", "/v1/rows/Doc/moving?tenant="+tenant, "x", nil)
		}
		return strings.Contains(d.log.String()[start:], "published for others than its tenant")
	}
	level("error")
	if warned() {
		t.Errorf("warned at level error:\n%s", d.log)
	}
	level("warn")
	eventually(t, "the log warns", warned)

	for path, want := range map[string]string{
		"/debug/pprof/": "goroutine", "/debug/pprof/heap?debug=1": "heap profile", "/debug/pprof/goroutine?debug=1": "goroutine profile",
		"/debug/pprof/cmdline": "busbar", "/debug/pprof/trace?seconds=0.01": "go 1.", "/debug/pprof/symbol": "num_symbols",
	} {
		if r := d.call("GET", path, d.admin, ""); r.status != 200 || !strings.Contains(r.body, want) {
			t.Errorf("%s: %d %.200q", path, r.status, r.body)
		}
		if r := d.call("GET", path, d.session("alice"), ""); r.status != 403 {
			t.Errorf("%s for a user: %d %.200q", path, r.status, r.body)
		}
	}
}
