package auth

import (
	"context"
	"database/sql"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/hub"
)

// A session whose end is put off is settled as that even if its old end has come meanwhile: its
// connections are just being given the new one.
func TestProlongedAtTheLastMoment(t *testing.T) {
	now := time.Now()
	for _, test := range []struct {
		name     string
		old, row *hub.Identity
		ends     bool
	}{
		{"before its end", &hub.Identity{UserID: "u", Expires: now.Add(time.Minute)}, &hub.Identity{UserID: "u", Expires: now.Add(time.Hour)}, false},
		{"at its end", &hub.Identity{UserID: "u", Expires: now.Add(-time.Second)}, &hub.Identity{UserID: "u", Expires: now.Add(time.Hour)}, false},
		{"for ever", &hub.Identity{UserID: "u", Expires: now.Add(-time.Second)}, &hub.Identity{UserID: "u"}, false},
		{"given to another", &hub.Identity{UserID: "u", Expires: now.Add(-time.Second)}, &hub.Identity{UserID: "v", Expires: now.Add(time.Hour)}, true},
		{"to another tenant", &hub.Identity{UserID: "u", Expires: now.Add(-time.Second)}, &hub.Identity{UserID: "u", Tenant: "t", Expires: now.Add(time.Hour)}, true},
		{"cut short", &hub.Identity{UserID: "u", Expires: now.Add(time.Hour)}, &hub.Identity{UserID: "u", Expires: now.Add(time.Minute)}, true},
	} {
		var ended []*hub.Identity
		s := &Sessions{
			memo: memo{cache: newSessionCache(10)},
			opts: SessionOptions{OnRevoked: func(ids []*hub.Identity) { ended = append(ended, ids...) }},
		}
		s.memo.cache.put("tok", test.old, 0, thisMoment())
		s.settle([]known{{"tok", test.old}}, map[string]*hub.Identity{"tok": test.row})
		if got := slices.Contains(ended, test.old); got != test.ends {
			t.Errorf("%s: ended: %t", test.name, got)
		}
		if id, ok := s.memo.cache.get("tok", thisMoment()); ok == test.ends || ok && id != test.row {
			t.Errorf("%s: a new connection gets %+v", test.name, id)
		}
	}
}

// Whoever looks for many in a foreign file does so whether it is waited for itself or not, and
// an opening that was closed under a look is tried again in the next.
func TestLooksForMany(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pylon.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`CREATE TABLE _pylon_sessions (token TEXT PRIMARY KEY, user_id TEXT NOT NULL, expires_at INTEGER NOT NULL,
		created_at INTEGER NOT NULL, device TEXT, tenant_id TEXT);
		INSERT INTO _pylon_sessions VALUES ('tok', 'alice', 0, 0, NULL, NULL)`); err != nil {
		t.Fatal(err)
	}
	s, err := OpenSessions(path, SessionOptions{ReadOnly: true, PollInterval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if id, err := s.find(gone, "tok"); err != nil || id.UserID != "alice" {
		t.Errorf("for a caller who is gone: %+v, %v", id, err)
	}
	old, _ := s.current()
	if _, err := old.find(t.Context(), "tok"); err != nil {
		t.Error(err)
	}
	if err := old.close(); err != nil {
		t.Fatal(err)
	}
	if id, err := s.find(t.Context(), "tok"); err != nil || id.UserID != "alice" {
		t.Errorf("after the opening was closed: %+v, %v", id, err)
	}
}
