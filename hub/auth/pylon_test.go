package auth_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/auth"
)

// docs/protocol.md section 4: Pylon's file just works, whatever state Pylon left it in.
func TestPylonFile(t *testing.T) {
	t.Parallel()
	future := time.Now().Add(time.Hour).Unix()
	for _, c := range []struct {
		name, journal string
		closed        bool
	}{
		{"WAL, Pylon running", "WAL", false},
		{"WAL, Pylon stopped", "WAL", true},
		{"rollback journal, Pylon running", "DELETE", false},
		{"rollback journal, Pylon stopped", "DELETE", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPylon(t, c.journal)
			p.add("never", "u1", 0, nil)
			p.add("later", "u2", future, "acme")
			p.add("past", "u3", time.Now().Unix()-1, nil)
			p.add("nameless", "", 0, nil)
			p.add("negative", "u4", -1, nil)
			p.exec(`INSERT INTO _pylon_sessions VALUES ('words', 'u5', 'tomorrow', 0, NULL, NULL)`)
			if c.closed {
				must(t, p.db.Close())
			}
			s := open(t, p.path, auth.SessionOptions{ReadOnly: true})
			if id := authenticate(t, s, "never"); *id != (hub.Identity{UserID: "u1"}) {
				t.Errorf("never: %+v", id)
			}
			if id := authenticate(t, s, "later"); *id != (hub.Identity{UserID: "u2", Tenant: "acme", Expires: time.Unix(future, 0), Token: "later"}) {
				t.Errorf("later: %+v", id)
			}
			for _, bad := range []string{"past", "nameless", "negative", "words", "unknown", "", "NEVER", "never "} {
				unauthorized(t, s, bad)
			}
		})
	}
}

// docs/protocol.md section 4: reading a foreign file leaves the file and its directory as they were.
func TestReadOnlyTouchesNothing(t *testing.T) {
	t.Parallel()
	for _, journal := range []string{"WAL", "DELETE"} {
		t.Run(journal, func(t *testing.T) {
			p := newPylon(t, journal)
			p.add("tok", "u1", 0, nil)
			must(t, p.db.Close())
			before := files(t, filepath.Dir(p.path))
			s := open(t, p.path, auth.SessionOptions{ReadOnly: true})
			authenticate(t, s, "tok")
			if list, err := os.ReadDir(filepath.Dir(p.path)); err != nil || len(list) != len(before) {
				t.Errorf("files while open: %v, %v", list, err)
			}
			if _, _, err := s.Create(t.Context(), "u", "", 0, ""); !errors.Is(err, auth.ErrReadOnly) {
				t.Errorf("Create: %v", err)
			}
			if err := s.Revoke(t.Context(), "tok"); !errors.Is(err, auth.ErrReadOnly) {
				t.Errorf("Revoke: %v", err)
			}
			must(t, s.Close())
			if after := files(t, filepath.Dir(p.path)); !maps.Equal(before, after) {
				t.Error("the directory has changed")
			}
		})
	}
}

// docs/protocol.md section 4: sessions created by another process while Busbar runs must be found,
// also when their token was refused a moment before.
func TestSessionMadeElsewhereIsFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, journal string
		closed        bool
	}{{"WAL", "WAL", false}, {"WAL, Pylon started later", "WAL", true}, {"DELETE", "DELETE", false}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPylon(t, c.journal)
			if c.closed {
				must(t, p.db.Close())
			}
			s := open(t, p.path, auth.SessionOptions{ReadOnly: true})
			unauthorized(t, s, "soon")
			if c.closed {
				p.open()
			}
			p.add("soon", "u1", 0, nil)
			p.add("fresh", "u2", 0, nil)
			if id := authenticate(t, s, "fresh"); id.UserID != "u2" {
				t.Errorf("fresh: %+v", id)
			}
			eventually(t, "a token refused before is found", func() bool {
				id, err := s.Authenticate(t.Context(), "soon")
				return err == nil && id.UserID == "u1"
			})
		})
	}
}

// docs/protocol.md section 4: sessions changed by another process lose their connections, in every
// state in which the file was opened.
func TestSessionEndedElsewhere(t *testing.T) {
	t.Parallel()
	soon, late := time.Now().Add(time.Hour).Unix(), time.Now().Add(2*time.Hour).Unix()
	for _, c := range []struct{ name, journal, sql string }{
		{"deleted", "WAL", `DELETE FROM _pylon_sessions WHERE token = 'tok'`},
		{"deleted, rollback journal", "DELETE", `DELETE FROM _pylon_sessions WHERE token = 'tok'`},
		{"another user", "WAL", `UPDATE _pylon_sessions SET user_id = 'u9' WHERE token = 'tok'`},
		{"another tenant", "WAL", `UPDATE _pylon_sessions SET tenant_id = 't9' WHERE token = 'tok'`},
		{"cut short", "WAL", `UPDATE _pylon_sessions SET expires_at = 5 WHERE token = 'tok'`},
		{"shortened", "WAL", `UPDATE _pylon_sessions SET expires_at = expires_at - 60 WHERE token = 'tok'`},
		{"broken", "WAL", `UPDATE _pylon_sessions SET expires_at = 'x' WHERE token = 'tok'`},
		{"table emptied", "WAL", `DELETE FROM _pylon_sessions`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPylon(t, c.journal)
			p.add("tok", "u1", soon, nil)
			p.add("other", "u2", late, nil)
			var gone revoked
			s := open(t, p.path, auth.SessionOptions{ReadOnly: true, OnRevoked: gone.add})
			id, other := authenticate(t, s, "tok"), authenticate(t, s, "other")
			p.exec(c.sql)
			eventually(t, "OnRevoked is told", func() bool { return gone.has(id) })
			if now, ok := s.Cached("tok"); ok && now == id {
				t.Error("still cached")
			}
			if c.name != "table emptied" && gone.has(other) {
				t.Error("another session was revoked too")
			}
		})
	}
}

func TestProlongedSessionGoesOn(t *testing.T) {
	t.Parallel()
	p := newPylon(t, "WAL")
	end := time.Now().Add(time.Hour).Unix()
	p.add("tok", "u1", end, nil)
	p.add("mark", "u2", 0, nil)
	var gone revoked
	s := open(t, p.path, auth.SessionOptions{ReadOnly: true, OnRevoked: gone.add})
	id, mark := authenticate(t, s, "tok"), authenticate(t, s, "mark")
	p.exec(`UPDATE _pylon_sessions SET expires_at = expires_at + 3600 WHERE token = 'tok'`)
	eventually(t, "new connections get the new end", func() bool {
		now, ok := s.Cached("tok")
		return ok && now.Expires.Unix() == end+3600 && now.Token == "tok"
	})
	if id.Token != "tok" || mark.Token != "" {
		t.Errorf("looked up again at their ends: %q, which has one, %q, which has none", id.Token, mark.Token)
	}
	p.exec(`DELETE FROM _pylon_sessions WHERE token = 'mark'`)
	eventually(t, "a later change was seen", func() bool { return gone.has(mark) })
	if gone.has(id) {
		t.Error("the connections of a prolonged session were ended")
	}
}

// Connections keep the identity that they came with: however often
// their session was prolonged since, its end is theirs too.
func TestProlongedSessionEndsElsewhere(t *testing.T) {
	t.Parallel()
	p := newPylon(t, "WAL")
	end := time.Now().Add(time.Hour).Unix()
	p.add("tok", "u1", end, nil)
	var gone revoked
	s := open(t, p.path, auth.SessionOptions{ReadOnly: true, OnRevoked: gone.add})
	ids := []*hub.Identity{authenticate(t, s, "tok")}
	for i := range int64(3) {
		p.exec(`UPDATE _pylon_sessions SET expires_at = expires_at + 60 WHERE token = 'tok'`)
		eventually(t, "new connections get the new end", func() bool {
			now, ok := s.Cached("tok")
			return ok && now.Expires.Unix() == end+60*(i+1)
		})
		ids = append(ids, authenticate(t, s, "tok"))
	}
	runtime.GC() // what connections have is in use, whoever else forgot it
	p.exec(`DELETE FROM _pylon_sessions WHERE token = 'tok'`)
	for i, id := range ids {
		eventually(t, fmt.Sprintf("OnRevoked is told of identity %d", i), func() bool { return gone.has(id) })
	}
}
