package auth

import (
	"database/sql"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/internal/wstest"
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
		s.store.(*file).purge(t.Context(), time.Now().Add(step.later))
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

// The watcher empties a store in which more sessions have ended than one batch, and the file
// takes no more room when as many come and end again.
func TestPurgeKeepsUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "busbar.db")
	defer func(n int) { purgeBatch = n }(purgeBatch)
	purgeBatch = 500
	opened := func() *Sessions {
		s, err := OpenSessions(path, SessionOptions{PollInterval: 50 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	closed := func(c io.Closer) {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	closed(opened()) // makes the table
	var pages [2]int
	for round := range pages {
		// They are there before the watcher looks for the first time: it looks again in a minute.
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
			INSERT INTO _pylon_sessions SELECT 'guest ' || i, 'guest', 1, 1, NULL, NULL FROM n`, 3*purgeBatch+1); err != nil {
			t.Fatal(err)
		}
		closed(db)
		s := opened()
		number := func(query string, args ...any) (n int) {
			if err := s.store.(*file).db.pool.QueryRow(query, args...).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		wstest.Eventually(t, "nothing is left", func() bool { return number(`SELECT count(*) FROM _pylon_sessions`) == 0 })
		pages[round] = number(`PRAGMA page_count`)
		closed(s)
	}
	if pages[1] > pages[0] {
		t.Errorf("%d pages of 4 KiB, and then %d", pages[0], pages[1])
	}
}
