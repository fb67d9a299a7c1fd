package auth_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/auth"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// own opens Busbar's own store in a new directory.
func own(t *testing.T, o auth.SessionOptions) (*auth.Sessions, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "busbar ?#%41.db") // SQLite must not take it for a URI
	return open(t, path, o), path
}

func TestModeOfTheFile(t *testing.T) {
	_, path := own(t, auth.SessionOptions{})
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file: %v, %v; want mode 0600", info.Mode(), err)
	}
	if info, err := os.Stat(path + "-wal"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("no -wal with mode 0600: %v", err)
	}
}

// docs/protocol.md section 4 and 7: busbar session create and revoke work while a server runs.
func TestOtherProcess(t *testing.T) {
	t.Parallel()
	var gone revoked
	s, path := own(t, auth.SessionOptions{OnRevoked: gone.add})
	token, err := runChild(t, "create", path, "u7")
	must(t, err)
	id := authenticate(t, s, token)
	if id.UserID != "u7" {
		t.Errorf("identity %+v", id)
	}
	if out, err := runChild(t, "revoke", path, auth.SessionID(token)); err != nil {
		t.Fatal(out, err)
	}
	eventually(t, "OnRevoked is told", func() bool { return gone.has(id) })
	unauthorized(t, s, token)
	mine, _, err := s.Create(t.Context(), "u8", "", 0, "")
	must(t, err)
	if out, err := runChild(t, "read", path, mine); err != nil || out != "u8" {
		t.Errorf("another process reads %q, %v", out, err)
	}
}

func TestProcessesStartTogether(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "busbar.db")
	var wg sync.WaitGroup
	tokens := make([]string, 6)
	for i := range tokens {
		wg.Go(func() {
			out, err := runChild(t, "create", path, fmt.Sprint("u", i))
			if err != nil {
				t.Errorf("process %d: %s, %v", i, out, err)
			}
			tokens[i] = out
		})
	}
	wg.Wait()
	s := open(t, path, auth.SessionOptions{})
	for i, token := range tokens {
		if id := authenticate(t, s, token); id.UserID != fmt.Sprint("u", i) {
			t.Errorf("session %d: %+v", i, id)
		}
	}
}

// Many cached sessions are compared in chunks; exactly those deleted end.
func TestManyRevokedAtOnce(t *testing.T) {
	auth.SetLookupTimeout(t, wstest.Patience)
	p := newPylon(t, "WAL")
	p.exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 3000)
		INSERT INTO _pylon_sessions SELECT 'tok' || i, 'u' || i, 0, 0, NULL, NULL FROM n`)
	var gone revoked
	s := open(t, p.path, auth.SessionOptions{ReadOnly: true, OnRevoked: gone.add})
	ids := make([]*hub.Identity, 3001)
	var all sync.WaitGroup
	for i := 1; i < len(ids); i++ { // together, as many look at a file together
		all.Go(func() {
			id, err := s.Authenticate(t.Context(), fmt.Sprint("tok", i))
			if ids[i] = id; err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	p.exec(`DELETE FROM _pylon_sessions WHERE substr(token, 4) % 3 = 0`)
	eventually(t, "a third is revoked", func() bool { return gone.count() >= 1000 })
	for i, id := range ids[1:] {
		if gone.has(id) != ((i+1)%3 == 0) {
			t.Fatalf("session %d: revoked %v", i+1, gone.has(id))
		}
	}
}
