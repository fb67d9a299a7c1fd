package httpapi

import (
	"bytes"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/auth"
)

// docs/protocol.md section 5: browsers on other origins are answered (CORS) by the WebSocket's allowlist.
func TestCORS(t *testing.T) {
	listed, err := hub.ParseOrigins([]string{"https://app.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name      string
		origins   hub.Origins
		origin    string
		preflight bool
		status    int
		allowed   bool
	}{
		{"no origin", listed, "", false, 200, false},
		{"listed", listed, "https://app.example.com", false, 200, true},
		{"foreign", listed, "https://evil.example", false, 200, false},
		{"listed, preflight", listed, "https://app.example.com", true, 204, true},
		{"foreign, preflight", listed, "https://evil.example", true, 403, false},
		{"null, preflight", listed, "null", true, 403, false},
		{"same host by default", hub.Origins{}, "http://example.com:3000", true, 204, true},
		{"foreign by default", hub.Origins{}, "http://evil.example", true, 403, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			method, headers := "GET", []string{}
			if tt.origin != "" {
				headers = append(headers, "Origin", tt.origin)
			}
			if tt.preflight {
				method = "OPTIONS"
				headers = append(headers, "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "authorization")
			}
			s := start(t, func(o *hub.Options, _ *Options) { o.Origins = tt.origins })
			w := ask(s, method, "http://example.com/healthz", "", headers...)
			if w.Code != tt.status {
				t.Errorf("status %d, want %d", w.Code, tt.status)
			}
			h := w.Header()
			want := map[string]string{"Vary": "Origin"}
			if tt.allowed {
				want["Access-Control-Allow-Origin"] = tt.origin
				want["Access-Control-Allow-Credentials"] = "true"
			}
			if tt.allowed && tt.preflight {
				want["Access-Control-Allow-Methods"] = "GET, HEAD, POST, PUT, DELETE, PATCH"
				want["Access-Control-Allow-Headers"] = "Authorization, Content-Type"
				want["Access-Control-Max-Age"] = "600"
			}
			for _, key := range []string{
				"Vary", "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials",
				"Access-Control-Allow-Methods", "Access-Control-Allow-Headers", "Access-Control-Max-Age",
			} {
				if h.Get(key) != want[key] {
					t.Errorf("%s: %q, want %q", key, h.Get(key), want[key])
				}
			}
			if w.Code == 403 {
				if e := errorOf(t, w); e.Code != "ORIGIN_NOT_ALLOWED" {
					t.Errorf("code %s, want ORIGIN_NOT_ALLOWED", e.Code)
				}
			}
		})
	}
}

// A page can only show an error that CORS lets it read.
func TestErrorsCarryCORSHeaders(t *testing.T) {
	a := deaf(t, Options{})
	for _, target := range []string{"/nothing", "/v1/stats", "/v1//stats"} {
		w := ask(a, "GET", "http://example.com"+target, "", "Origin", "http://example.com")
		if w.Code < 400 || w.Header().Get("Access-Control-Allow-Origin") != "http://example.com" {
			t.Errorf("%s: status %d with headers %v", target, w.Code, w.Header())
		}
	}
}

func TestBusyCarriesCORSHeaders(t *testing.T) {
	a := deaf(t, Options{Guests: true, Listener: listen(t, 8)})
	a.fill(calling)
	const origin = "http://example.com"
	w := ask(a, "POST", origin+"/api/auth/guest", "", "Origin", origin)
	if e := errorOf(t, w); e.Code != "BUSY" || w.Header().Get("Access-Control-Allow-Origin") != origin {
		t.Errorf("%s with headers %v", e.Code, w.Header())
	}
	w = ask(a, "OPTIONS", origin+"/v1/stats", "", "Origin", origin, "Access-Control-Request-Method", "GET")
	if w.Code != 204 || w.Header().Get("Access-Control-Allow-Methods") == "" {
		t.Errorf("a preflight got %d with headers %v", w.Code, w.Header())
	}
}

// RFC 6454 7.3: several origins are none, and which of them would count must not depend on who reads them.
func TestSeveralOriginsAreAnError(t *testing.T) {
	r := httptest.NewRequest("GET", "http://example.com/healthz", nil)
	r.Header["Origin"] = []string{"http://example.com", "https://evil.example"}
	w := httptest.NewRecorder()
	deaf(t, Options{}).ServeHTTP(w, r)
	if e := errorOf(t, w); w.Code != 400 || e.Field != "Origin" || w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("status %d, %+v, header %v", w.Code, e, w.Header())
	}
}

// Whoever forgot -origins reads in the log what to write there. Strangers can't fill it.
func TestForeignOriginsAreLoggedSparingly(t *testing.T) {
	var log bytes.Buffer
	a := deaf(t, Options{Guests: true, Sessions: new(auth.Sessions)})
	a.Logger = slog.New(slog.NewTextHandler(&log, nil))
	for _, origin := range []string{"https://app.example.com", "https://evil.example", strings.Repeat("x", 8000)} {
		ask(a, "OPTIONS", "http://example.com/v1/stats", "", "Origin", origin, "Access-Control-Request-Method", "GET")
		ask(a, "POST", "http://example.com/api/auth/guest", "", "Origin", origin)
	}
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "-origins https://app.example.com") || len(text) > 512 {
		t.Errorf("the log has %q", text)
	}
}
