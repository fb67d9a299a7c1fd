package auth_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/auth"
)

const pylonTable = `CREATE TABLE _pylon_sessions (token TEXT PRIMARY KEY, user_id TEXT NOT NULL,
	expires_at INTEGER NOT NULL, created_at INTEGER NOT NULL, device TEXT, tenant_id TEXT)`

// pylon is another program with the same file: plain SQL, no code of this package.
type pylon struct {
	t    *testing.T
	path string
	db   *sql.DB
}

func newPylon(t *testing.T, journal string) *pylon {
	t.Helper()
	p := &pylon{t: t, path: filepath.Join(openDir(t), "pylon.db")}
	p.open()
	p.exec("PRAGMA journal_mode = " + journal)
	p.exec(pylonTable)
	return p
}

func (p *pylon) open() {
	p.t.Helper()
	db, err := sql.Open("sqlite", "file:"+p.path+"?_busy_timeout=5000&_pragma=synchronous(off)")
	must(p.t, err)
	db.SetMaxOpenConns(1)
	p.db = db
	p.t.Cleanup(func() { db.Close() })
}

func (p *pylon) exec(query string, args ...any) {
	p.t.Helper()
	_, err := p.db.Exec(query, args...)
	must(p.t, err)
}

func (p *pylon) add(token, user string, expires int64, tenant any) {
	p.t.Helper()
	p.exec(`INSERT INTO _pylon_sessions VALUES (?, ?, ?, 1700000000, NULL, ?)`, token, user, expires, tenant)
}

// revoked collects what OnRevoked is told.
type revoked struct {
	mu  sync.Mutex
	ids map[*hub.Identity]bool
}

func (r *revoked) add(ids []*hub.Identity) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids == nil {
		r.ids = make(map[*hub.Identity]bool)
	}
	for _, id := range ids {
		r.ids[id] = true
	}
}

func (r *revoked) has(id *hub.Identity) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ids[id]
}

func (r *revoked) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ids)
}

func fast(o auth.SessionOptions) auth.SessionOptions {
	o.PollInterval, o.BusyTimeout = 20*time.Millisecond, 100*time.Millisecond
	if o.Log == nil {
		o.Log = quiet
	}
	return o
}

func open(t *testing.T, path string, o auth.SessionOptions) *auth.Sessions {
	t.Helper()
	s, err := auth.OpenSessions(path, fast(o))
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func authenticate(t *testing.T, a hub.Authenticator, token string) *hub.Identity {
	t.Helper()
	id, err := a.Authenticate(context.Background(), token)
	must(t, err)
	return id
}

func unauthorized(t *testing.T, a hub.Authenticator, token string) {
	t.Helper()
	if id, err := a.Authenticate(context.Background(), token); !errors.Is(err, hub.ErrUnauthorized) {
		t.Errorf("got %+v, %v; want ErrUnauthorized", id, err)
	}
}

// unanswered fails unless the answer is an error that says nothing about the token.
func unanswered(t *testing.T, a hub.Authenticator, token string) error {
	t.Helper()
	id, err := a.Authenticate(context.Background(), token)
	if err == nil || errors.Is(err, hub.ErrUnauthorized) {
		t.Errorf("got %+v, %v; want an error that isn't ErrUnauthorized", id, err)
	}
	return err
}

// files maps the names in a directory to the files' contents. It must not be called
// while SQLite has one of them open in this process.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	list, err := os.ReadDir(dir)
	must(t, err)
	m := make(map[string]string)
	for _, f := range list {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		must(t, err)
		m[f.Name()] = string(b)
	}
	return m
}
