package httpapi

import (
	"bytes"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/auth"
)

// docs/protocol.md section 5: each call of an admin that changes something has a line in the log, whatever the log's
// level and the call's outcome are, without tokens and payloads.
func TestAudit(t *testing.T) {
	var log bytes.Buffer
	level := new(slog.LevelVar)
	s := start(t, func(_ *hub.Options, o *Options) {
		o.Reload = func() (Reloaded, error) { level.Set(slog.LevelError); return Reloaded{}, nil }
		o.LogLevel, o.Logger = level, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level}))
	})
	level.Set(slog.LevelError)
	var made struct{ Token string }
	s.want(s.admin("POST", "/v1/sessions", `{"user_id":"u 1","tenant_id":"acme","device":"s3cret"}`), 200, &made)
	for _, call := range []struct {
		method, target, body string
		status               int
	}{
		{"PUT", "/v1/log-level", `{"level":"warn"}`, 204}, {"PUT", "/v1/log-level", `{"level":"s3cret"}`, 400},
		{"DELETE", "/v1/clients/17", "", 404}, {"DELETE", "/v1/users/u%0A2/clients?tenant=acme", "", 204},
		{"DELETE", "/v1/rows/E/r/subscribers/u", "", 204}, {"POST", "/v1/reload", "", 200},
		{"DELETE", "/v1/sessions/" + made.Token, "", 204}, {"DELETE", "/v1/sessions/0123abcd", "", 404},
		{"GET", "/v1/stats", "", 200}, {"POST", "/v1/changes", `{"entity":"s3cret","row_id":"r","kind":"delete"}`, 200},
	} {
		if w := s.admin(call.method, call.target, call.body); w.Code != call.status {
			t.Errorf("%s %s: %d %s", call.method, call.target, w.Code, w.Body)
		}
	}
	s.wantError(s.as(s.session("u", ""), "DELETE", "/v1/clients/1", ""), 403, "FORBIDDEN")

	id := auth.SessionID(made.Token)
	line := func(call string) string {
		return `level=INFO msg="admin call" by="admin token" address=192.0.2.1:1234 method=` + call + "\n"
	}
	want := line(`POST path=/v1/sessions user="u 1" tenant=acme session=`+id+` status=200`) +
		line(`PUT path=/v1/log-level level=warn status=204`) + line(`PUT path=/v1/log-level status=400`) +
		line(`DELETE path=/v1/clients/{id} client=17 status=404`) +
		line(`DELETE path=/v1/users/{user}/clients user="u\n2" tenant=acme status=204`) +
		line(`DELETE path=/v1/rows/{entity}/{row}/subscribers/{user} entity=E row=r user=u tenant="" status=204`) +
		line(`POST path=/v1/reload status=200`) +
		line(`DELETE path=/v1/sessions/{token} session=`+id+` status=204`) +
		line(`DELETE path=/v1/sessions/{token} session=0123abcd status=404`)
	got := regexp.MustCompile(`(?m)^time=\S+ `).ReplaceAllString(log.String(), "")
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for _, secret := range []string{made.Token, adminToken, "s3cret"} {
		if strings.Contains(got, secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
}

// docs/protocol.md section 5: the log's level can be read and changed while the server runs.
func TestLogLevel(t *testing.T) {
	level := new(slog.LevelVar)
	s := start(t, func(_ *hub.Options, o *Options) { o.LogLevel = level })
	for text, want := range map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	} {
		var answer logLevel
		s.want(s.admin("PUT", "/v1/log-level", `{"level":"`+text+`"}`), 204, nil)
		s.want(s.admin("GET", "/v1/log-level", ""), 200, &answer)
		if level.Level() != want || answer.Level != text {
			t.Errorf("%s: %v, and the answer is %s", text, level, answer.Level)
		}
	}
	before := level.Level()
	for _, body := range []string{`{}`, `{"level":"INFO"}`, `{"level":"info","x":1}`, `{"level":3}`} {
		if e := s.wantError(s.admin("PUT", "/v1/log-level", body), 400, "INVALID_FIELD"); e.Field == "" {
			t.Errorf("%s: no field is named", body)
		}
	}
	if level.Level() != before {
		t.Errorf("a refused call left the level at %v", level)
	}
}
