package eventloop

import (
	"log/slog"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// However often room comes and goes, it is logged once in a while.
func TestLackOfRoomIsLoggedOnce(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	e, err := New(&host{}, Options{Listen: "127.0.0.1:0", Loops: 1, Log: slog.New(slog.NewTextHandler(&log, nil))})
	must(t, err)
	for range 5 {
		e.failedAccept([]any{unix.ENOBUFS})
		if !e.fdWatch.out.Load() {
			t.Fatal("accepting isn't paused")
		}
		if e.checkDescriptors(); e.fdWatch.out.Load() {
			t.Fatal("accepting doesn't go on")
		}
	}
	e.failedAccept([]any{unix.EPERM}) // was that one connection's
	if e.fdWatch.out.Load() || e.Stats().AcceptErrors != 6 {
		t.Errorf("out of room: %v, %d accepts failed", e.fdWatch.out.Load(), e.Stats().AcceptErrors)
	}
	if warned, again := strings.Count(log.String(), "level=WARN"), strings.Count(log.String(), "level=INFO"); warned != 1 || again != 1 {
		t.Errorf("logged:\n%s", log.String())
	}
}
