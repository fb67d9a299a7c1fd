package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// cli runs a command on the server's data directory, in this process, which isn't the server's; it has to succeed.
func (d *daemon) cli(stdin string, args ...string) (stdout string) {
	d.t.Helper()
	o := runCommand(stdin, nil, append(args, "-data", d.dir)...)
	if o.code != exitOK || o.err != "" {
		d.t.Fatalf("busbar %q: exit code %d, %s", args, o.code, o.err)
	}
	return o.out
}

// docs/protocol.md section 7: sessions are made and revoked beside a running server, and docs/protocol.md section 4: it notices.
func TestSessionCommandsBesideTheServer(t *testing.T) {
	d := commonDaemon(t)
	token, isLine := strings.CutSuffix(d.cli("", "session", "create", "-user", "alice", "-tenant", "acme"), "\n")
	if !isLine || strings.ContainsAny(token, " \n") {
		t.Fatalf("session create printed %q, want the token alone", token)
	}
	d.secret = append(d.secret, token)
	c, other := d.connect(token), d.connect(d.session("bob"))
	who := d.call("GET", "/api/auth/me", token, "").body
	if !strings.Contains(who, `"user_id":"alice"`) || !strings.Contains(who, `"tenant_id":"acme"`) {
		t.Errorf("the session is %s", who)
	}
	d.cli(token+"\n", "session", "revoke", "-")
	if reason := waitClose(t, c, 1008); reason != "session revoked" {
		t.Errorf("reason %q", reason)
	}
	again := startGoClient(t, d.url(""), token, "header")
	waitClose(t, again, 1008)
	if seq := d.publish("t_1"); waitChange(other).Seq != seq {
		t.Error("another session's client lost an event")
	}
}

// docs/protocol.md section 5: a session revoked over HTTP loses its connections, all of them and only them.
func TestRevokingOverHTTP(t *testing.T) {
	d := commonDaemon(t)
	token, kept := d.session("alice"), d.session("alice")
	var clients []peer
	for _, start := range peers {
		c := start(t, d.url(""), token, "subprotocol")
		c.waitEvent(soon, "open")
		clients = append(clients, c)
	}
	other := d.connect(kept)
	d.adminCall("DELETE", "/v1/sessions/"+token, "", nil)
	for _, c := range clients {
		if reason := waitClose(t, c, 1008); reason != "session revoked" {
			t.Errorf("reason %q", reason)
		}
	}
	if seq := d.publish("t_1"); waitChange(other).Seq != seq {
		t.Error("the user's other session lost an event")
	}
}

// docs/protocol.md section 3 and 4: a session that ends takes its connection along.
func TestSessionExpires(t *testing.T) {
	d := commonDaemon(t)
	token := d.shortSession("alice", 2)
	c := d.connect(token)
	waitClose(t, c, 1008)
	waitClose(t, startGoClient(t, d.url(""), token, "header"), 1008)
}

// docs/protocol.md section 5: guests are made with -guests only.
func TestGuests(t *testing.T) {
	d := startDaemon(t, "-guests")
	r := d.call("POST", "/api/auth/guest", "", "")
	var guest struct {
		Token  string
		UserID string `json:"user_id"`
	}
	if err := json.Unmarshal([]byte(r.body), &guest); err != nil || r.status != 200 || guest.UserID == "" {
		t.Fatalf("a new guest: %d %s", r.status, r.body)
	}
	d.secret = append(d.secret, guest.Token)
	c := startGoClient(t, d.url(""), guest.Token, "subprotocol")
	c.waitEvent(soon, "open")
	c.send(`{"type":"presence"}`)
	if m := waitType(c, "presence"); m.From != guest.UserID {
		t.Errorf("a guest's presence is from %q, want %q", m.From, guest.UserID)
	}
	if status := startDaemon(t).call("POST", "/api/auth/guest", "", "").status; status != http.StatusForbidden {
		t.Errorf("without -guests: status %d", status)
	}
}

// authService is an operator's service that says who a token belongs to.
type authService struct {
	*httptest.Server
	asked  atomic.Int32
	broken atomic.Bool
}

func startAuthService(t *testing.T) *authService {
	s := new(authService)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		var question struct{ Token string }
		user, known := "", false
		if json.NewDecoder(r.Body).Decode(&question) == nil {
			user, known = strings.CutPrefix(question.Token, "token of ")
		}
		switch {
		case s.broken.Load():
			http.Error(w, "broken", http.StatusInternalServerError)
		case !known:
			http.Error(w, "unknown", http.StatusUnauthorized)
		default:
			fmt.Fprintf(w, `{"user_id":%q,"tenant_id":"acme"}`, user)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// docs/protocol.md section 1 with -auth http: the operator's service says who a token belongs to.
func TestHTTPAuth(t *testing.T) {
	service := startAuthService(t)
	d := startDaemon(t, "-auth", "http", "-auth-url", service.URL+"/check?key=s3cr3t")
	d.secret = append(d.secret, "s3cr3t", "token of alice")
	for _, way := range []string{"header", "subprotocol"} {
		c := startGoClient(t, d.url(""), "token of alice", way)
		c.waitEvent(soon, "open")
		c.send(`{"type":"presence"}`)
		if m := waitType(c, "presence"); m.From != "alice" {
			t.Errorf("by %s: presence from %q", way, m.From)
		}
	}
	if n := service.asked.Load(); n != 1 {
		t.Errorf("the service was asked %d times about one token, want once", n)
	}
	if reason := waitClose(t, startGoClient(t, d.url(""), "whose?", "header"), 1008); reason != "unauthorized: token invalid or expired" {
		t.Errorf("reason %q", reason)
	}
	service.broken.Store(true)
	waitClose(t, startGoClient(t, d.url(""), "token of bob", "header"), 1013)
	d.connect("token of alice") // the service's trouble doesn't cost those who are known
}

// What a service answers is read in one way; the log says what is wrong with what can't be used.
func TestHTTPAuthOddAnswers(t *testing.T) {
	answers := map[string]string{
		"number":   `{"user_id":9007199254740993,"expires_at":"4102444800"}`,
		"capitals": `{"user_id":"eve","is_admin":false,"Is_Admin":true}`,
		"twice":    `{"user_id":"eve","is_admin":false,"is_admin":true}`,
		"forever":  `{"user_id":"eve","expires_at":null}`,
	}
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var question struct{ Token string }
		_ = json.NewDecoder(r.Body).Decode(&question)
		if answers[question.Token] == "" {
			w.WriteHeader(http.StatusUnprocessableEntity)
		}
		fmt.Fprint(w, answers[question.Token])
	}))
	t.Cleanup(service.Close)
	d := startDaemon(t, "-auth", "http", "-auth-url", service.URL)
	for token, want := range map[string]string{
		"number":   `{"user_id":"9007199254740993","tenant_id":null,"is_admin":false,"roles":[]}`,
		"capitals": `{"user_id":"eve","tenant_id":null,"is_admin":false,"roles":[]}`,
	} {
		if got := d.call("GET", "/api/auth/me", token, "").body; strings.TrimSpace(got) != want {
			t.Errorf("%s: %s", token, got)
		}
	}
	waitClose(t, startGoClient(t, d.url(""), "no token of ours", "header"), 1008)
	waitClose(t, startGoClient(t, d.url(""), "twice", "header"), 1013)
	d.waitOutput(d.log, "what was wrong", func(text string) bool { return strings.Contains(text, "is_admin: stands twice") })
	waitClose(t, startGoClient(t, d.url(""), "forever", "header"), 1013)
}

// -auth-cache 0 asks about every connection, so that a token taken back is at once worth nothing.
func TestHTTPAuthWithoutCache(t *testing.T) {
	service := startAuthService(t)
	d := startDaemon(t, "-auth", "http", "-auth-url", service.URL, "-auth-cache", "0")
	for want := int32(1); want <= 3; want++ {
		d.connect("token of alice")
		if n := service.asked.Load(); n != want {
			t.Errorf("after %d connections the service was asked %d times", want, n)
		}
	}
}
