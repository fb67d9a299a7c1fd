package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/auth"
	"github.com/busbar-ws/busbar/internal/wstest"
)

const adminToken = "the-admin-token"

// errAuthDown is what the token "down" meets.
var errAuthDown = errors.New("session database is locked")

// server is an API with a running hub and a session store in a file.
type server struct {
	*testing.T
	http.Handler
	hub      *hub.Hub
	sessions *auth.Sessions
}

// start runs a server until the test ends, beside other tests. change may be nil.
func start(t *testing.T, change func(*hub.Options, *Options)) *server {
	t.Helper()
	t.Parallel()
	s := &server{T: t}
	var err error
	s.sessions, err = auth.OpenSessions(filepath.Join(t.TempDir(), "busbar.db"), auth.SessionOptions{
		OnRevoked: func(ids []*hub.Identity) {
			s.hub.CloseIdentity(func(id *hub.Identity) bool { return slices.Contains(ids, id) }, "session revoked")
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.sessions.Close() })

	quiet := slog.New(slog.DiscardHandler)
	ho := hub.Options{
		Auth:   hub.AuthenticatorFunc(s.authenticate),
		Loops:  eventloop.Options{Listen: "127.0.0.1:0", Loops: 2},
		Logger: quiet,
	}
	o := Options{Sessions: s.sessions, Guests: true, Registry: prometheus.NewRegistry(), Logger: quiet}
	if change != nil {
		change(&ho, &o)
	}
	if ho.Log == nil {
		ho.Log = hub.NewMemoryLog(0, 0)
	}
	if log, ok := ho.Log.(interface{ Resume(uint64) }); ok {
		log.Resume(0) // tests count events from 1
	}
	if s.hub, err = hub.New(ho); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.shutdown)
	s.Handler = New(s.hub, o)
	return s
}

func (s *server) shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = s.hub.Shutdown(ctx)
}

func (s *server) authenticate(ctx context.Context, token string) (*hub.Identity, error) {
	switch token {
	case adminToken:
		return &hub.Identity{Admin: true}, nil
	case "down":
		return nil, errAuthDown
	}
	return s.sessions.Authenticate(ctx, token)
}

// session makes a session and returns its token.
func (s *server) session(user, tenant string) string {
	s.Helper()
	token, _, err := s.sessions.Create(context.Background(), user, tenant, 0, "")
	if err != nil {
		s.Fatal(err)
	}
	return token
}

// admin sends a request with the admin token; headers are pairs.
func (s *server) admin(method, target, body string, headers ...string) *httptest.ResponseRecorder {
	return ask(s, method, target, body, append(headers, "Authorization", "Bearer "+adminToken)...)
}

// as sends a request with another token.
func (s *server) as(token, method, target, body string) *httptest.ResponseRecorder {
	return ask(s, method, target, body, "Authorization", "Bearer "+token)
}

// want checks an answer's status and, unless nil, reads its JSON into v.
func (s *server) want(w *httptest.ResponseRecorder, status int, v any) {
	s.Helper()
	if w.Code != status {
		s.Fatalf("status %d, want %d: %s", w.Code, status, w.Body)
	}
	if v == nil {
		return
	}
	if err := json.Unmarshal(w.Body.Bytes(), v); err != nil {
		s.Fatalf("%v in %s", err, w.Body)
	}
}

// wantError checks an answer's status and error code, and returns the error.
func (s *server) wantError(w *httptest.ResponseRecorder, status int, code string) failure {
	s.Helper()
	e := errorOf(s.T, w)
	if w.Code != status || e.Code != code {
		s.Errorf("got %d %s (%s), want %d %s", w.Code, e.Code, e.Message, status, code)
	}
	return e
}

type client = wstest.Client

func (s *server) connect(token string) *client {
	s.Helper()
	return wstest.Connect(s, "ws://"+s.hub.Addr().String(), token)
}
