package auth

import (
	"path/filepath"
	"testing"
	"time"
)

// Sessions that ended over an hour ago are removed, and no others.
func TestPurge(t *testing.T) {
	s, err := OpenSessions(filepath.Join(t.TempDir(), "busbar.db"), SessionOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want := make(map[string]bool)
	for user, ttl := range map[string]time.Duration{"never": 0, "short": time.Second, "long": 3 * time.Hour} {
		if _, _, err := s.Create(t.Context(), user, "", ttl, ""); err != nil {
			t.Fatal(err)
		}
		want[user] = true
	}
	for _, step := range []struct {
		later time.Duration
		ended string
	}{{59 * time.Minute, ""}, {2 * time.Hour, "short"}, {5 * time.Hour, "long"}, {1e5 * time.Hour, ""}} {
		s.purge(t.Context(), time.Now().Add(step.later))
		delete(want, step.ended)
		got := 0
		for one, err := range s.List(t.Context()) {
			if err != nil || !want[one.UserID] {
				t.Errorf("%v later: %+v, %v", step.later, one, err)
			}
			got++
		}
		if got != len(want) {
			t.Errorf("%v later: %d sessions, want %v", step.later, got, want)
		}
	}
}
