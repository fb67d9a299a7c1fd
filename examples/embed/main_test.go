package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/busbar-ws/busbar/internal/wstest"
)

const adminToken = "the-admin-token-of-the-test"

// begin runs the program until the test ends.
func begin(t *testing.T, c config) (ws, api string) {
	t.Helper()
	t.Setenv("ADMIN_TOKEN", adminToken)
	c.listen, c.api = "127.0.0.1:0", "127.0.0.1:0"
	if c.data == "" {
		c.data = t.TempDir()
	}
	ctx, stop := context.WithCancel(context.Background())
	started, ended := make(chan *program, 1), make(chan error, 1)
	go func() { ended <- run(ctx, c, func(p *program) { started <- p }) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case p := <-started:
		return "ws://" + p.hub.Addr().String(), "http://" + p.listener.Addr().String()
	case err := <-ended:
		ended <- err
		t.Fatal(err)
		return "", ""
	}
}

// call returns the answer, whose status has to be 200 or 204.
func call(t *testing.T, method, url, token, body string) string {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Close = true
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode >= 300 {
		t.Fatalf("%s %s: %d %s (%v)", method, url, answer.StatusCode, text, err)
	}
	return string(text)
}

// docs/embedding.md: sessions, the API, a call of the program's own, and metrics; a session that is revoked has its
// connections closed.
func TestSessionsAPIAndMetrics(t *testing.T) {
	ws, api := begin(t, config{})
	var session struct{ Token string }
	if err := json.Unmarshal([]byte(call(t, "POST", api+"/v1/sessions", adminToken, `{"user_id":"alice","tenant_id":"acme"}`)), &session); err != nil {
		t.Fatal(err)
	}
	alice := wstest.Connect(t, ws, session.Token)
	call(t, "POST", api+"/v1/topics/news", adminToken, `"hello"`)
	if got := alice.Text(); got != `{"type":"topic","topic":"news","data":"hello"}` {
		t.Errorf("got %s", got)
	}
	call(t, "POST", api+"/todos/t_1/done", session.Token, "")
	if got := alice.Text(); !strings.Contains(got, `"row_id":"t_1","kind":"update","data":{"done":true}`) {
		t.Errorf("got %s", got)
	}
	if text := call(t, "GET", api+"/metrics", adminToken, ""); !strings.Contains(text, "\nbusbar_clients 1\n") {
		t.Error("the metrics don't show the client")
	}
	call(t, "DELETE", api+"/v1/sessions/"+session.Token, adminToken, "")
	alice.ExpectClose(1008)
}

func TestJWT(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	secret := []byte("a secret of at least 32 bytes, says RFC 7518")
	if err := os.WriteFile(key, secret, 0o600); err != nil {
		t.Fatal(err)
	}
	ws, api := begin(t, config{jwtKey: key})
	claims := jwt.MapClaims{"sub": "alice", "tenant": "acme", "exp": time.Now().Add(time.Minute).Unix()}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(secret)
	if err != nil {
		t.Fatal(err)
	}
	alice := wstest.Connect(t, ws, token)
	call(t, "POST", api+"/todos/t_2/done", token, "")
	if got := alice.Text(); !strings.Contains(got, `"row_id":"t_2"`) {
		t.Errorf("got %s", got)
	}
}

func TestEventsOutliveTheProgram(t *testing.T) {
	c := config{data: t.TempDir()}
	t.Run("before", func(t *testing.T) {
		_, api := begin(t, c)
		call(t, "POST", api+"/v1/changes", adminToken, `{"entity":"Todo","row_id":"t_3","kind":"delete"}`)
	})
	t.Run("after", func(t *testing.T) {
		ws, _ := begin(t, c)
		if got := wstest.Connect(t, ws+"/?since=0", adminToken).Text(); !strings.Contains(got, `"row_id":"t_3"`) {
			t.Errorf("got %s", got)
		}
	})
}

// docs/embedding.md shows the program as it is.
func TestTheProgramOfTheDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/embedding.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```go\n")[1:]
	for _, block := range blocks {
		code, _, _ := strings.Cut(block, "```\n")
		if !strings.Contains(string(program), code) {
			t.Errorf("the program doesn't have\n%s", code)
		}
	}
	if len(blocks) == 0 {
		t.Error("the page has no code")
	}
}
