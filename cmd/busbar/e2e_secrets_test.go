//go:build !race && !racedaemon

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// marker is in every secret of these tests that isn't made by the server.
const marker = "s3cr3t"

// said is everything that a server has said, but for answers whose purpose is a token.
type said struct {
	*daemon
	text strings.Builder
}

// startTalkative starts a server that logs all it can.
func startTalkative(t *testing.T, args ...string) *said {
	t.Helper()
	return &said{daemon: startDaemon(t, append([]string{"-log-level", "debug"}, args...)...)}
}

// ask keeps the answer to a call.
func (s *said) ask(method, path, token, body string, headers ...string) int {
	s.t.Helper()
	r := s.call(method, path, token, body, headers...)
	fmt.Fprintln(&s.text, method, r.status, r.header, r.body)
	return r.status
}

// raw keeps what a port answers to bytes of any kind.
func (s *said) raw(address, request string) {
	s.t.Helper()
	conn, err := net.DialTimeout("tcp", address, soon)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(soon))
	_, _ = io.WriteString(conn, request)
	_ = conn.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(conn)
	s.text.Write(answer)
}

// upgrade keeps how a connection with the token ended, whichever way it was shown.
func (s *said) upgrade(token string) {
	s.t.Helper()
	for _, way := range []string{"header", "subprotocol"} {
		c := startGoClient(s.t, s.url(""), token, way)
		e := c.wait(soon, "an end", func(e clientEvent) bool { return e.Event == "close" })
		fmt.Fprintln(&s.text, e.Code, e.Reason, e.Status)
	}
}

// wantNothing looks for secrets in all that was said, shown and logged, and in what everyone on the host can see of
// the process.
func (s *said) wantNothing(secrets ...string) {
	s.t.Helper()
	for _, path := range []string{"/metrics", "/v1/stats", "/v1/clients", "/v1/sessions", "/v1/laggards", "/v1/closes", "/v1/losses", "/v1/log-level",
		"/api/sync/pull", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1"} {
		s.ask("GET", path, s.admin, "")
	}
	for _, path := range []string{"/", "/demo", "/openapi.yaml"} {
		s.ask("GET", path, "", "")
	}
	s.ask("POST", "/v1/reload", s.admin, "")
	s.ask("PUT", "/v1/log-level", s.admin, `{"level":"debug"}`)
	arguments, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	s.text.Write(arguments)
	s.stop()
	everything := s.transcript() + s.text.String()
	if !strings.Contains(everything, "level=DEBUG") && !strings.Contains(everything, "level=INFO") {
		s.t.Errorf("nothing was logged:\n%s", everything)
	}
	for _, secret := range append(secrets, s.secret...) {
		for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret), fmt.Sprintf("%x", secret)} {
			if at := strings.Index(everything, form); at >= 0 {
				s.t.Errorf("%q is in what was said: %q", form, everything[max(0, at-200):min(len(everything), at+200)])
			}
		}
	}
}

// badTokens are wrong in every way that is told apart.
func badTokens() []string {
	return []string{
		marker, marker + " two", marker + "\x7f", strings.Repeat(marker, 100), strings.Repeat(marker, 2000), marker + "%", marker + "/../",
		"e30." + marker + ".x", "eyJhbGciOiJIUzI1NiJ9.e30." + marker, `{"token":"` + marker + `"}`,
	}
}

// misuse is every call with every kind of bad token, in each place where somebody might put one.
func (s *said) misuse() {
	s.t.Helper()
	for _, token := range badTokens() {
		if len(token) < 8000 && !strings.ContainsAny(token, "\x7f") {
			s.upgrade(token)
			s.ask("GET", "/v1/clients", token, "")
			s.ask("GET", "/metrics", token, "")
			s.ask("POST", "/v1/changes", token, "{}")
			s.ask("GET", "/api/auth/me", token, "")
			s.ask("GET", "/api/sync/pull?since=1", token, "")
			s.ask("DELETE", "/v1/sessions/"+url.PathEscape(token), s.admin, "")
		}
		s.raw(s.ws, wstest.Request("/", "Authorization: "+token))
		s.raw(s.api, "GET /v1/stats HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer "+token+"\r\n\r\n")
	}
	for _, port := range []string{s.ws, s.api} {
		s.raw(port, "GET /"+marker+"?token="+marker+"&since="+marker+" HTTP/1.1\r\nHost: "+marker+"\r\nConnection: close\r\n\r\n")
		s.raw(port, "GET / HTTP/1.1\r\nAuthorization Bearer "+marker+"\r\n\r\n")
		s.raw(port, marker+"\r\n\r\n")
		s.raw(port, "\x16\x03\x01"+marker) // TLS
	}
	s.ask("POST", "/v1/sessions", s.admin, `{"user_id":"u","token":"`+marker+`"}`)
	s.ask("POST", "/v1/sessions", s.admin, `{"user_id":7,"`+strings.Repeat("x", 10)+`":"`+marker+`"`)
}

// A token appears nowhere: not while it works, is refused, ends, is revoked or shown in the wrong place.
func TestSecretsOfSessions(t *testing.T) {
	t.Parallel()
	s := startTalkative(t, "-guests")
	token, gone, short := s.session("alice"), s.session("bob"), s.shortSession("carol", 1)
	alice := s.connect(token)
	for _, ending := range []struct{ token, how string }{{gone, "revoked"}, {short, "expired"}} {
		c := s.connect(ending.token)
		if ending.how == "revoked" {
			s.ask("DELETE", "/v1/sessions/"+gone, s.admin, "")
		}
		waitClose(t, c, 1008)
		s.upgrade(ending.token)
		s.ask("DELETE", "/v1/sessions/"+ending.token, s.admin, "")
	}
	var guest struct{ Token string }
	if err := json.Unmarshal([]byte(s.call("POST", "/api/auth/guest", "", "").body), &guest); err != nil || guest.Token == "" {
		t.Fatalf("no guest: %v", err)
	}
	s.secret = append(s.secret, guest.Token)
	s.upgradeAndStay(guest.Token)
	alice.send(`{"type":"presence"}`)
	waitType(alice, "presence")
	s.ask("GET", "/api/auth/me", token, "")
	s.upgradeAndStay(s.admin)
	s.misuse()
	for _, command := range [][]string{{"session", "list"}, {"session", "list", "-json"}, {"doctor", "-data", s.dir}} {
		if command[0] == "session" {
			command = append(command, "-data", s.dir)
		}
		out, err, _ := launch{args: command, env: []string{"BUSBAR_ADMIN_TOKEN=" + marker + marker, "BUSBAR_TOKEN=" + marker}}.run(t)
		s.text.WriteString(out + err)
	}
	s.wantNothing(marker)
}

func (s *said) upgradeAndStay(token string) { s.connect(token).send(`{"type":"nothing"}`) }

// A token that a broken store or service was asked about appears nowhere, nor does what is secret in its URL.
func TestSecretsOfAnAuthService(t *testing.T) {
	t.Parallel()
	answers := map[string]http.HandlerFunc{
		"broken":   func(w http.ResponseWriter, r *http.Request) { http.Error(w, marker, 500) },
		"refusing": func(w http.ResponseWriter, r *http.Request) { http.Error(w, marker, http.StatusUnauthorized) },
		"garbage":  func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) },
		"mistyped": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `{"user_id":{"token":%q}}`, marker) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/"+marker+"?token="+marker, http.StatusFound)
		},
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat(marker, 100_000))
		},
		"no HTTP": func(w http.ResponseWriter, _ *http.Request) {
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_, _ = io.WriteString(conn, marker+" "+marker+"\r\n\r\n")
				conn.Close()
			}
		},
		"silent": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // or the server wouldn't notice that the caller has gone
			<-r.Context().Done()
		},
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			service := httptest.NewServer(answer)
			t.Cleanup(service.Close)
			address, _ := strings.CutPrefix(service.URL, "http://")
			s := startTalkativeWith(t, "BUSBAR_AUTH_URL=http://bob:"+marker+"@"+address+"/check?key="+marker, "-auth", "http", "-auth-timeout", "100ms")
			for _, token := range badTokens()[:4] {
				if !strings.Contains(token, "\x7f") {
					s.upgrade(token)
					s.ask("GET", "/api/auth/me", token, "")
				}
			}
			service.Close()
			s.upgrade(marker + " and nobody there")
			s.wantNothing(marker)
		})
	}
}

// startTalkativeWith starts one with something in its environment.
func startTalkativeWith(t *testing.T, variable string, args ...string) *said {
	t.Helper()
	return &said{daemon: launch{env: []string{variable}, args: append([]string{"-log-level", "debug"}, args...)}.start(t)}
}

func TestSecretsOfJWTs(t *testing.T) {
	t.Parallel()
	secret := marker + jwtSecret
	s := startTalkative(t, "-auth", "jwt", "-jwt-key", makeFile(t, filepath.Join(t.TempDir(), "key"), secret, 0o600))
	claims := jwt.MapClaims{"sub": "alice", "exp": time.Now().Add(time.Hour).Unix()}
	good := signed(t, secret, claims)
	s.connect(good)
	signature := func(token string) string { return token[strings.LastIndex(token, ".")+1:] }
	ended := signed(t, secret, jwt.MapClaims{"sub": "alice", "exp": 1})
	forged := signed(t, strings.Repeat("x", 40), claims)
	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, claims).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{ended, forged, unsigned, good + "x", good[:len(good)-3]} {
		s.upgrade(token)
		s.ask("GET", "/v1/stats", token, "")
	}
	s.misuse()
	s.wantNothing(marker, signature(good), signature(ended), signature(forged), strings.TrimSuffix(unsigned, "."))
}

// The admin token may come from the environment, where only the server's own user sees it. It is compared in one time
// on both ports (hub/auth), so what is nearly it is as wrong as anything.
func TestSecretAdminToken(t *testing.T) {
	admin := marker + "-of-the-administrator"
	s := startTalkativeWith(t, "BUSBAR_ADMIN_TOKEN="+admin)
	s.admin = admin
	for _, token := range []string{admin[:len(admin)-1], admin + "x", strings.ToUpper(admin), "x" + admin} {
		if status := s.ask("GET", "/v1/stats", token, ""); status != 401 {
			t.Errorf("nearly the admin token: %d", status)
		}
		s.upgrade(token)
	}
	s.upgradeAndStay(admin)
	s.wantNothing(marker)
}
