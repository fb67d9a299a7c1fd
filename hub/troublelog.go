package hub

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// troubleLog logs at most one line of a kind in a second, and with the next how many were
// left out: clients can cause as many as they like. The counters have them all. Its zero
// value is ready. Safe from any goroutine.
type troubleLog struct {
	mu   sync.Mutex
	last time.Time // of the last one that was logged
	more uint64    // since then
}

// troubleInterval is the time between two lines.
const troubleInterval = time.Second

func (t *troubleLog) warn(log *slog.Logger, now time.Time, what string, args ...any) {
	if leftOut, ok := t.admit(now); ok {
		tell(log, slog.LevelWarn, leftOut, what, args...)
	}
}

// tell logs what was admitted. Whoever has to work its arguments out asks admit first.
func tell(log *slog.Logger, level slog.Level, leftOut uint64, what string, args ...any) {
	if leftOut > 0 {
		args = append(args, "left_out", leftOut)
	}
	log.Log(context.Background(), level, what, args...)
}

func (t *troubleLog) admit(now time.Time) (leftOut uint64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.last) < troubleInterval {
		t.more++
		return 0, false
	}
	leftOut, t.more, t.last = t.more, 0, now
	return leftOut, true
}

// maxLogged is how many bytes of a name that a client chose are logged.
const maxLogged = 64

func shortened(name string) string { return name[:min(len(name), maxLogged)] }
