package auth_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/auth"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// own opens Busbar's own store in a new directory.
func own(t *testing.T, o auth.SessionOptions) (*auth.Sessions, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "busbar ?#%41.db") // SQLite must not take it for a URI
	return open(t, path, o), path
}

func TestCreateAndUse(t *testing.T) {
	s, path := own(t, auth.SessionOptions{})
	token, expires, err := s.Create(t.Context(), "u1", "acme", time.Hour, "phone")
	must(t, err)
	if len(token) != 43 || strings.Trim(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		t.Errorf("token %q isn't 256 bits in base64url", token)
	}
	if left := time.Until(expires); left < 59*time.Minute || left > time.Hour+2*time.Second {
		t.Errorf("expires in %v", left)
	}
	if _, ok := s.Cached(token); ok {
		t.Error("cached before it was ever used")
	}
	id := authenticate(t, s, token)
	if *id != (hub.Identity{UserID: "u1", Tenant: "acme", Expires: expires, Token: token}) {
		t.Errorf("identity %+v", id)
	}
	if again, ok := s.Cached(token); !ok || again != id {
		t.Error("the same session has to have the same pointer")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file: %v, %v; want mode 0600", info.Mode(), err)
	}
	if info, err := os.Stat(path + "-wal"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("no -wal with mode 0600: %v", err)
	}
	forever, expires, err := s.Create(t.Context(), "u2", "", 0, "")
	must(t, err)
	if id := authenticate(t, s, forever); !expires.IsZero() || !id.Expires.IsZero() || id.Tenant != "" {
		t.Errorf("ttl 0: %v, %+v", expires, id)
	}
}

func TestCreateForAsLongAsCanBeSaid(t *testing.T) {
	s, _ := own(t, auth.SessionOptions{})
	token, expires, err := s.Create(t.Context(), "u", "", math.MaxInt64, "")
	must(t, err)
	if left := time.Until(expires); left < math.MaxInt64-time.Hour {
		t.Errorf("expires at %v, in %v", expires, left)
	}
	if id := authenticate(t, s, token); !id.Expires.Equal(expires) {
		t.Errorf("identity %+v, want it to expire at %v", id, expires)
	}
}

func TestCreateRefuses(t *testing.T) {
	s, _ := own(t, auth.SessionOptions{})
	long := strings.Repeat("x", 1025)
	for name, create := range map[string]func() (string, time.Time, error){
		"no user":      func() (string, time.Time, error) { return s.Create(t.Context(), "", "", 0, "") },
		"an admin's":   func() (string, time.Time, error) { return s.Create(t.Context(), "admin", "", 0, "") },
		"negative ttl": func() (string, time.Time, error) { return s.Create(t.Context(), "u", "", -1, "") },
		"long user":    func() (string, time.Time, error) { return s.Create(t.Context(), long, "", 0, "") },
		"long tenant":  func() (string, time.Time, error) { return s.Create(t.Context(), "u", long, 0, "") },
		"not UTF-8":    func() (string, time.Time, error) { return s.Create(t.Context(), "u\xff", "", 0, "") },
	} {
		if token, _, err := create(); !errors.Is(err, auth.ErrBadSession) || token != "" {
			t.Errorf("%s: %q, %v", name, token, err)
		}
	}
}

func TestSessionExpires(t *testing.T) {
	t.Parallel()
	s, _ := own(t, auth.SessionOptions{})
	token, expires, err := s.Create(t.Context(), "u1", "", 4*time.Second, "")
	must(t, err)
	authenticate(t, s, token)
	eventually(t, "the cached session ends", func() bool { id, ok := s.Cached(token); return !ok || id == nil })
	if time.Now().Before(expires) {
		t.Error("ended too early")
	}
	unauthorized(t, s, token)
}

func TestGuests(t *testing.T) {
	s, _ := own(t, auth.SessionOptions{GuestTTL: time.Minute})
	token, user, err := s.CreateGuest(t.Context())
	must(t, err)
	_, other, err := s.CreateGuest(t.Context())
	must(t, err)
	id := authenticate(t, s, token)
	if id.UserID != user || !strings.HasPrefix(user, "guest_") || user == other {
		t.Errorf("guests %q, %q with identity %+v", user, other, id)
	}
	if left := time.Until(id.Expires); left > time.Minute+2*time.Second || left < 50*time.Second {
		t.Errorf("guest's session ends in %v", left)
	}
}

func list(t *testing.T, s *auth.Sessions) (all []auth.Session) {
	t.Helper()
	for one, err := range s.List(t.Context()) {
		must(t, err)
		all = append(all, one)
	}
	return all
}

func TestListAndRevoke(t *testing.T) {
	t.Parallel()
	var gone revoked
	s, _ := own(t, auth.SessionOptions{OnRevoked: gone.add, PollInterval: time.Hour})
	tokens := make(map[string]string)
	for i := range 1203 { // more than two pages
		token, _, err := s.Create(t.Context(), fmt.Sprint("u", i), "acme", time.Hour, "phone")
		must(t, err)
		tokens[auth.SessionID(token)] = token
	}
	all := list(t, s)
	if len(all) != len(tokens) {
		t.Fatalf("%d sessions listed of %d", len(all), len(tokens))
	}
	first := all[0]
	if first.Tenant != "acme" || first.Device != "phone" || time.Since(first.Created) > time.Minute {
		t.Errorf("listed %+v", first)
	}
	if shown := fmt.Sprintf("%+v", all); strings.Contains(shown, tokens[first.ID][:12]) {
		t.Error("a token is shown")
	}
	for i, name := range []string{all[0].ID, all[1].ID[:10], tokens[all[2].ID], strings.ToUpper(all[3].ID)} {
		token := tokens[all[i].ID]
		id := authenticate(t, s, token)
		must(t, s.Revoke(t.Context(), name))
		if !gone.has(id) {
			t.Errorf("%s: OnRevoked wasn't told before Revoke returned", name)
		}
		unauthorized(t, s, token)
	}
	for _, name := range []string{all[0].ID, tokens[all[0].ID], "", "00", all[5].ID[:7], "' OR 1=1 --"} {
		if err := s.Revoke(t.Context(), name); !errors.Is(err, auth.ErrNoSession) {
			t.Errorf("Revoke(%q): %v; want ErrNoSession", name, err)
		}
	}
	if n := len(list(t, s)); n != len(tokens)-4 {
		t.Errorf("%d sessions left", n)
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

// Whoever got an identity while its session was being revoked is told.
func TestRevokeBesideLookups(t *testing.T) {
	t.Parallel()
	var gone revoked
	s, _ := own(t, auth.SessionOptions{OnRevoked: gone.add})
	for round := range 40 {
		token, _, err := s.Create(t.Context(), "u", "", 0, "")
		must(t, err)
		var wg sync.WaitGroup
		var mu sync.Mutex
		given := make(map[*hub.Identity]bool)
		for range 4 {
			wg.Go(func() {
				for range 10 {
					if id, err := s.Authenticate(t.Context(), token); err == nil {
						mu.Lock()
						given[id] = true
						mu.Unlock()
					}
				}
			})
		}
		wg.Go(func() {
			if err := s.Revoke(t.Context(), token); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		unauthorized(t, s, token)
		for id := range given {
			if !gone.has(id) {
				t.Fatalf("round %d: an identity was given out and not revoked", round)
			}
		}
	}
}

func TestClosedStore(t *testing.T) {
	s, _ := own(t, auth.SessionOptions{})
	token, _, err := s.Create(t.Context(), "u", "", 0, "")
	must(t, err)
	id := authenticate(t, s, token)
	must(t, s.Close())
	must(t, s.Close())
	if again, ok := s.Cached(token); !ok || again != id {
		t.Error("a cached session is gone")
	}
	if err := unanswered(t, s, "other"); !errors.Is(err, auth.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if _, _, err := s.Create(t.Context(), "u", "", 0, ""); !errors.Is(err, auth.ErrClosed) {
		t.Errorf("Create after Close: %v", err)
	}
}

// Whoever has a session's identity is told when it ends, however many sessions came since: ended
// here or by another process.
func TestEvictedSessionsAreRevoked(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(s *auth.Sessions, path, token string) error{
		"here": func(s *auth.Sessions, _, token string) error { return s.Revoke(t.Context(), token) },
		"by another process": func(_ *auth.Sessions, path, token string) error {
			_, err := runChild(t, "revoke", path, token)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			var gone revoked
			s, path := own(t, auth.SessionOptions{CacheEntries: 10, OnRevoked: gone.add})
			token, _, err := s.Create(t.Context(), "alice", "", 0, "")
			must(t, err)
			alice := authenticate(t, s, token)
			for range 100 {
				guest, _, err := s.CreateGuest(t.Context())
				must(t, err)
				authenticate(t, s, guest)
			}
			if _, ok := s.Cached(token); ok {
				t.Fatal("it wasn't evicted: the test shows nothing")
			}
			must(t, end(s, path, token))
			eventually(t, "its identity is told of", func() bool { return gone.has(alice) })
		})
	}
}
