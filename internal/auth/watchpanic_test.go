package auth_test

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/auth"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// Whoever is told of revoked sessions may panic: the watcher goes on, and tells of the next.
func TestPanicOfOnRevoked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "busbar.db")
	told, log := make(chan string, 10), &wstest.Text{}
	s, err := auth.OpenSessions(path, auth.SessionOptions{
		PollInterval: 10 * time.Millisecond, Log: slog.New(slog.NewTextHandler(log, nil)),
		OnRevoked: func(ids []*hub.Identity) {
			told <- ids[0].UserID
			panic("in OnRevoked")
		},
	})
	must(t, err)
	defer s.Close()
	other, err := auth.OpenSessions(path, auth.SessionOptions{Log: quiet})
	must(t, err)
	defer other.Close()
	for _, user := range []string{"first", "second"} {
		token, _, err := other.Create(t.Context(), user, "", time.Hour, "")
		must(t, err)
		_, err = s.Authenticate(t.Context(), token)
		must(t, err)
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
