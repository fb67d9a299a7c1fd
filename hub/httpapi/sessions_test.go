package httpapi

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/auth"
)

// docs/protocol.md section 5: GET /api/auth/me, with nulls for nobody.
func TestMe(t *testing.T) {
	s := start(t, nil)
	const nobody = `{"user_id":null,"tenant_id":null,"is_admin":false,"roles":[]}`
	tests := []struct{ token, want, rejected string }{
		{"", nobody, ""},
		{"unknown", nobody, "1"},
		{s.session("u", ""), `{"user_id":"u","tenant_id":null,"is_admin":false,"roles":[]}`, ""},
		{s.session("u", "acme"), `{"user_id":"u","tenant_id":"acme","is_admin":false,"roles":[]}`, ""},
		{adminToken, `{"user_id":null,"tenant_id":null,"is_admin":true,"roles":[]}`, ""},
	}
	for _, tt := range tests {
		w := s.as(tt.token, "GET", "/api/auth/me", "")
		if got := strings.TrimSpace(w.Body.String()); w.Code != 200 || got != tt.want {
			t.Errorf("token %q: got %d %s, want 200 %s", tt.token, w.Code, got, tt.want)
		}
		if got := w.Header().Get("X-Pylon-Bearer-Rejected"); got != tt.rejected {
			t.Errorf("token %q: rejected %q, want %q", tt.token, got, tt.rejected)
		}
	}
	s.wantError(s.as("down", "GET", "/api/auth/me", ""), 503, "AUTH_UNAVAILABLE")
}

// docs/protocol.md section 5: POST /api/auth/guest, only with -guests.
func TestGuest(t *testing.T) {
	s := start(t, nil)
	type guest struct {
		Token  string
		UserID string `json:"user_id"`
	}
	var first, second, me guest
	s.want(ask(s, "POST", "/api/auth/guest", ""), 200, &first)
	s.want(ask(s, "POST", "/api/auth/guest", "{}"), 200, &second)
	if first.Token == "" || first.UserID == "" || first.UserID == second.UserID {
		t.Errorf("got the guests %+v and %+v, want two of them", first, second)
	}
	s.want(s.as(first.Token, "GET", "/api/auth/me", ""), 200, &me)
	if me.UserID != first.UserID {
		t.Errorf("the guest's token is %q's, want %q's", me.UserID, first.UserID)
	}
	w := ask(s, "POST", "http://example.com/api/auth/guest", "", "Origin", "https://evil.example")
	s.wantError(w, 403, "ORIGIN_NOT_ALLOWED")
}

// docs/protocol.md section 5: GET /v1/sessions, a session a line, without tokens.
func TestListSessions(t *testing.T) {
	s := start(t, nil)
	tokens := map[string]string{"u": s.session("u", ""), "v": s.session("v", "acme")}
	w := s.as(adminToken, "GET", "/v1/sessions", "")
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/x-ndjson" || strings.Count(w.Body.String(), "\n") != len(tokens) {
		t.Fatalf("got %d %v: %s", w.Code, w.Header(), w.Body)
	}
	for line := range strings.Lines(w.Body.String()) {
		var got struct {
			ID       string
			UserID   string  `json:"user_id"`
			TenantID *string `json:"tenant_id"`
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		token := tokens[got.UserID]
		if got.ID != auth.SessionID(token) || (got.TenantID == nil) != (got.UserID == "u") || strings.Contains(line, token) {
			t.Errorf("got %s", line)
		}
	}
	s.wantError(s.as(tokens["u"], "GET", "/v1/sessions", ""), 403, "FORBIDDEN")
	if err := s.sessions.Close(); err != nil {
		t.Fatal(err)
	}
	s.wantError(s.as(adminToken, "GET", "/v1/sessions", ""), 503, "SESSIONS_UNAVAILABLE")
}

// docs/protocol.md section 5: no guests without -guests.
func TestGuestsDisabled(t *testing.T) {
	s := start(t, func(_ *hub.Options, o *Options) { o.Guests = false })
	s.wantError(ask(s, "POST", "/api/auth/guest", ""), 403, "GUESTS_DISABLED")
}

func TestGuestsAreRateLimited(t *testing.T) {
	s := start(t, func(_ *hub.Options, o *Options) { o.GuestRate = 0.001 })
	s.want(ask(s, "POST", "/api/auth/guest", ""), 200, nil)
	w := ask(s, "POST", "/api/auth/guest", "")
	s.wantError(w, 429, "RATE_LIMITED")
	if w.Header().Get("Retry-After") == "" {
		t.Error("429 without Retry-After")
	}
}

// docs/protocol.md section 5: POST /v1/sessions creates a session.
func TestCreateSession(t *testing.T) {
	s := start(t, nil)
	now := time.Now().Unix()
	tests := []struct {
		body    string
		seconds int64 // 0: never expires
	}{
		{`{"user_id":"u","tenant_id":"acme","ttl_seconds":60,"device":"phone"}`, 60},
		{`{"user_id":"u","tenant_id":"acme"}`, 30 * 24 * 3600},
		{`{"user_id":"u","tenant_id":"acme","ttl_seconds":0}`, 0},
		{`{"user_id":"u","tenant_id":"acme","ttl_seconds":9223372036}`, maxSessionSeconds},
	}
	for _, tt := range tests {
		var created createdSession
		s.want(s.admin("POST", "/v1/sessions", tt.body), 200, &created)
		if tt.seconds == 0 && created.ExpiresAt != 0 ||
			tt.seconds != 0 && (created.ExpiresAt < now+tt.seconds || created.ExpiresAt > now+tt.seconds+60) {
			t.Errorf("%s: expires at %d, want %d seconds from now (%d)", tt.body, created.ExpiresAt, tt.seconds, now)
		}
		w := s.as(created.Token, "GET", "/api/auth/me", "")
		if !strings.Contains(w.Body.String(), `{"user_id":"u","tenant_id":"acme"`) {
			t.Errorf("%s: the token is somebody else's: %s", tt.body, w.Body)
		}
	}
}

func TestCreateSessionRefusesBadOnes(t *testing.T) {
	s := start(t, nil)
	for body, field := range map[string]string{
		`{}`:                                  "user_id",
		`{"user_id":7}`:                       "user_id",
		`{"user_id":"admin"}`:                 "user_id",
		`{"user_id":"u","ttl":5}`:             "ttl",
		`{"user_id":"u","ttl_seconds":-1}`:    "ttl_seconds",
		`{"user_id":"u","ttl_seconds":1e300}`: "ttl_seconds",
		`{"user_id":"u","ttl_seconds":9223372036854775807}`: "ttl_seconds",
		`{"user_id":"` + strings.Repeat("u", 2000) + `"}`:   "",
		// Each of these would be a session for longer, or of nobody's tenant, if it were taken for left out.
		`{"user_id":"u","ttl_seconds":null}`:                  "ttl_seconds",
		`{"user_id":"u","ttl_seconds":"60"}`:                  "ttl_seconds",
		`{"user_id":"u","ttl_seconds":0.5}`:                   "ttl_seconds",
		`{"user_id":"u","TTL_SECONDS":60}`:                    "TTL_SECONDS",
		`{"user_id":"u","ttl_seconds":60,"Ttl_Seconds":0}`:    "Ttl_Seconds",
		`{"user_id":"u","ttl_seconds":60,"ttl_seconds":0}`:    "ttl_seconds",
		`{"user_id":"u","tenant_id":null}`:                    "tenant_id",
		`{"user_id":"u","tenant_id":""}`:                      "tenant_id",
		`{"user_id":"u","tenant_id":"t","Tenant_ID":"other"}`: "Tenant_ID",
		`{"user_id":"u","user_id":"v"}`:                       "user_id",
		`{"user_id":"u","User_ID":"v"}`:                       "User_ID",
		`{"user_id":null}`:                                    "user_id",
		`{"user_id":"\ud83d"}`:                                "user_id",
		`{"user_id":"u","device":null}`:                       "device",
	} {
		e := s.wantError(s.admin("POST", "/v1/sessions", body), 400, "INVALID_FIELD")
		if e.Field != field {
			t.Errorf("%.60s: field %q, want %q", body, e.Field, field)
		}
	}
}

// docs/protocol.md section 5: a revoked session's connections get Close 1008 at once.
func TestRevokeSession(t *testing.T) {
	s := start(t, nil)
	token := s.session("u", "")
	c := s.connect(token)
	s.want(s.admin("DELETE", "/v1/sessions/"+token, ""), 204, nil)
	c.ExpectClose(websocket.StatusPolicyViolation)
	s.wantError(s.as(token, "GET", "/api/sync/pull", ""), 401, "UNAUTHORIZED")
	s.wantError(s.admin("DELETE", "/v1/sessions/"+token, ""), 404, "NOT_FOUND")
}

// Without a session store of its own the server can't create or revoke sessions.
func TestSessionsDisabled(t *testing.T) {
	s := start(t, func(_ *hub.Options, o *Options) { o.Sessions = nil })
	s.wantError(ask(s, "POST", "/api/auth/guest", ""), 409, "SESSIONS_DISABLED")
	s.wantError(s.admin("POST", "/v1/sessions", `{"user_id":"u"}`), 409, "SESSIONS_DISABLED")
	s.wantError(s.admin("DELETE", "/v1/sessions/x", ""), 409, "SESSIONS_DISABLED")
}

func TestSessionStoreErrors(t *testing.T) {
	s := start(t, nil)
	if err := s.sessions.Close(); err != nil {
		t.Fatal(err)
	}
	s.wantError(s.admin("POST", "/v1/sessions", `{"user_id":"u"}`), 503, "SESSIONS_UNAVAILABLE")
	s.wantError(s.admin("DELETE", "/v1/sessions/x", ""), 503, "SESSIONS_UNAVAILABLE")
	s.wantError(ask(s, "POST", "/api/auth/guest", ""), 503, "SESSIONS_UNAVAILABLE")
	a := deaf(t, Options{})
	if f := failureOf(a.sessionFailure(auth.ErrReadOnly)); f.status != http.StatusConflict || f.Code != "SESSIONS_READ_ONLY" {
		t.Errorf("a read-only store: got %d %s, want 409 SESSIONS_READ_ONLY", f.status, f.Code)
	}
}
