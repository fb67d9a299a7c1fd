// Package trouble logs what clients can cause as often as they like.
package trouble

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Log logs at most one line of a kind in an Interval, and with the next how many were
// left out. Counters have them all. There are only so many kinds: none comes from outside. Its zero
// value is ready. Safe from any goroutine.
type Log struct {
	mu    sync.Mutex
	kinds map[string]*kind
}

type kind struct {
	last time.Time // when one was logged
	more uint64    // since then
}

// Interval is the time between two lines.
const Interval = time.Second

// Warn logs what happened, which is also its kind.
func (t *Log) Warn(log *slog.Logger, now time.Time, what string, args ...any) {
	if leftOut, ok := t.Admit(what, now); ok {
		Tell(log, slog.LevelWarn, leftOut, what, args...)
	}
}

// Tell logs what was admitted. Whoever has to work its arguments out asks Admit first.
func Tell(log *slog.Logger, level slog.Level, leftOut uint64, what string, args ...any) {
	if leftOut > 0 {
		args = append(args, "left_out", leftOut)
	}
	log.Log(context.Background(), level, what, args...)
}

// Admit is whether one of a kind is to be logged, and how many weren't since the last one that was.
func (t *Log) Admit(what string, now time.Time) (leftOut uint64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.kinds[what]
	if k == nil {
		if t.kinds == nil {
			t.kinds = make(map[string]*kind)
		}
		k = new(kind)
		t.kinds[what] = k
	}
	if now.Sub(k.last) < Interval {
		k.more++
		return 0, false
	}
	leftOut, k.more, k.last = k.more, 0, now
	return leftOut, true
}

// MaxName is how many bytes of a name that a client chose are logged.
const MaxName = 64

// Shortened is a name as it is logged.
func Shortened(name string) string { return name[:min(len(name), MaxName)] }
