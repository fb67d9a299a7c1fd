package auth_test

import (
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/auth"
)

// lines is a log. Safe from any goroutine.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}

// Whoever is told of revoked sessions may panic: the watcher goes on, and tells of the next.
func TestPanicOfOnRevoked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "busbar.db")
	told, log := make(chan string, 10), &lines{}
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
	eventually(t, "it is logged", func() bool { return log.count("stack=") > 0 })
	if n := log.count("in OnRevoked"); n != 1 {
		t.Errorf("%d lines about it, want 1", n)
	}
}
