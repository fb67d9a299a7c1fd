package auth_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/auth"
	"github.com/busbar-ws/busbar/internal/natsconn"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// opener opens a store of sessions, the same one each time, as several processes or nodes do.
type opener func(auth.SessionOptions) *auth.Sessions

// TestStores holds all kinds of stores to the same. Nobody looks at the bucket by the clock: what comes
// from other nodes has been pushed.
func TestStores(t *testing.T) {
	t.Parallel()
	s, _ := startNATS(t, t.TempDir(), server.RANDOM_PORT)
	inBucket := func(t *testing.T) opener {
		name := nuid.Next()
		return func(o auth.SessionOptions) *auth.Sessions {
			o.PollInterval = time.Hour
			return openBucketOf(t, s, auth.BucketOptions{Name: name}, o)
		}
	}
	for kind, store := range map[string]func(t *testing.T) opener{"file": inFile, "bucket": inBucket} {
		for name, test := range map[string]func(*testing.T, opener){
			"create and use": testCreateAndUse, "for ever": testCreateForAsLongAsCanBeSaid, "refuse": testCreateRefuses,
			"expire": testSessionExpires, "guests": testGuests, "list and revoke": testListAndRevoke,
			"revoke beside lookups": testRevokeBesideLookups, "others": testOthers, "evicted": testEvictedSessionsAreRevoked,
			"panic": testPanicOfOnRevoked, "closed": testClosedStore,
		} {
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				test(t, store(t))
			})
		}
	}
}

func inFile(t *testing.T) opener {
	path := filepath.Join(t.TempDir(), "busbar ?#%41.db") // SQLite must not take it for a URI
	return func(o auth.SessionOptions) *auth.Sessions { return open(t, path, o) }
}

func openBucket(t *testing.T, s *server.Server, o auth.SessionOptions) *auth.Sessions {
	t.Helper()
	return openBucketOf(t, s, auth.BucketOptions{Name: "test"}, o)
}

func openBucketOf(t *testing.T, s *server.Server, b auth.BucketOptions, o auth.SessionOptions) *auth.Sessions {
	t.Helper()
	if o.Log == nil {
		o.Log = quiet
	}
	conn, _, err := natsconn.Connect(natsconn.Options{
		Servers: s.ClientURL(), Logger: quiet, Reconnected: func() {}, Slow: func(*nats.Subscription) bool { return false },
		NATS: []nats.Option{nats.Timeout(wstest.Patience), nats.ReconnectWait(10 * time.Millisecond), nats.ReconnectJitter(0, 0)},
	})
	must(t, err)
	t.Cleanup(conn.Close)
	b.Conn, b.Replicas = conn, 1
	sessions, err := auth.OpenBucket(t.Context(), b, o)
	must(t, err)
	t.Cleanup(func() { sessions.Close() })
	return sessions
}

// startNATS runs a NATS server until stop is called or the test ends.
func startNATS(t *testing.T, dir string, port int) (s *server.Server, stop func()) {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, NoSigs: true, NoLog: true, JetStream: true, StoreDir: dir})
	must(t, err)
	s.Start()
	stop = func() {
		s.Shutdown()
		s.WaitForShutdown()
	}
	t.Cleanup(stop)
	if !s.ReadyForConnections(wstest.Patience) {
		t.Fatal("NATS doesn't start")
	}
	return s, stop
}

func testCreateForAsLongAsCanBeSaid(t *testing.T, open opener) {
	s := open(auth.SessionOptions{})
	token, expires, err := s.Create(t.Context(), "u", "", math.MaxInt64, "")
	must(t, err)
	if left := time.Until(expires); left < math.MaxInt64-time.Hour {
		t.Errorf("expires at %v, in %v", expires, left)
	}
	if id := authenticate(t, s, token); !id.Expires.Equal(expires) {
		t.Errorf("identity %+v, want it to expire at %v", id, expires)
	}
}

func testCreateRefuses(t *testing.T, open opener) {
	s := open(auth.SessionOptions{})
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

func testSessionExpires(t *testing.T, open opener) {
	s := open(auth.SessionOptions{})
	token, expires, err := s.Create(t.Context(), "u1", "", 4*time.Second, "")
	must(t, err)
	authenticate(t, s, token)
	eventually(t, "the cached session ends", func() bool { id, ok := s.Cached(token); return !ok || id == nil })
	if time.Now().Before(expires) {
		t.Error("ended too early")
	}
	unauthorized(t, s, token)
}

func testGuests(t *testing.T, open opener) {
	s := open(auth.SessionOptions{GuestTTL: time.Minute})
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

func testListAndRevoke(t *testing.T, open opener) {
	var gone revoked
	s := open(auth.SessionOptions{OnRevoked: gone.add})
	tokens := make(map[string]string)
	for i := range 1003 { // more than two pages
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

// Whoever got an identity while its session was being revoked is told.
func testRevokeBesideLookups(t *testing.T, open opener) {
	var gone revoked
	s := open(auth.SessionOptions{OnRevoked: gone.add})
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

func testClosedStore(t *testing.T, open opener) {
	s := open(auth.SessionOptions{})
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

func testCreateAndUse(t *testing.T, open opener) {
	s := open(auth.SessionOptions{})
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
	unauthorized(t, s, token+"x")
	forever, expires, err := s.Create(t.Context(), "u2", "", 0, "")
	must(t, err)
	if id := authenticate(t, s, forever); !expires.IsZero() || !id.Expires.IsZero() || id.Tenant != "" {
		t.Errorf("ttl 0: %v, %+v", expires, id)
	}
}

// What one makes the others know at once, and what one revokes ends at the others.
func testOthers(t *testing.T, open opener) {
	var gone revoked
	a, b := open(auth.SessionOptions{OnRevoked: gone.add}), open(auth.SessionOptions{})
	for _, name := range []func(token string) string{auth.SessionID, strings.Clone} {
		token, _, err := b.Create(t.Context(), "u7", "acme", time.Hour, "")
		must(t, err)
		id := authenticate(t, a, token)
		if id.UserID != "u7" {
			t.Errorf("identity %+v", id)
		}
		must(t, b.Revoke(t.Context(), name(token)))
		eventually(t, "OnRevoked is told", func() bool { return gone.has(id) })
		unauthorized(t, a, token)
	}
	kept, _, err := a.Create(t.Context(), "u8", "", 0, "")
	must(t, err)
	if id := authenticate(t, open(auth.SessionOptions{}), kept); id.UserID != "u8" {
		t.Errorf("identity %+v", id)
	}
}

// Whoever has a session's identity is told when it ends, however many sessions came since: ended
// here or by another process.
func testEvictedSessionsAreRevoked(t *testing.T, open opener) {
	var gone revoked
	s := open(auth.SessionOptions{CacheEntries: 10, OnRevoked: gone.add})
	for name, by := range map[string]*auth.Sessions{"here": s, "by another": open(auth.SessionOptions{})} {
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
		must(t, by.Revoke(t.Context(), token))
		eventually(t, "its identity is told of when it is revoked "+name, func() bool { return gone.has(alice) })
	}
}

// Whoever is told of revoked sessions may panic: the watcher goes on, and tells of the next.
func testPanicOfOnRevoked(t *testing.T, open opener) {
	told, log := make(chan string, 10), &wstest.Text{}
	s := open(auth.SessionOptions{
		Log: slog.New(slog.NewTextHandler(log, nil)),
		OnRevoked: func(ids []*hub.Identity) {
			told <- ids[0].UserID
			panic("in OnRevoked")
		},
	})
	other := open(auth.SessionOptions{})
	for _, user := range []string{"first", "second"} {
		token, _, err := other.Create(t.Context(), user, "", time.Hour, "")
		must(t, err)
		authenticate(t, s, token)
		must(t, other.Revoke(t.Context(), token))
		select {
		case got := <-told:
			if got != user {
				t.Errorf("told of %s, want %s", got, user)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("never told of %s", user)
		}
	}
	eventually(t, "it is logged", func() bool { return strings.Contains(log.String(), "stack=") })
	if n := strings.Count(log.String(), "in OnRevoked"); n != 1 {
		t.Errorf("%d lines about it, want 1", n)
	}
}
