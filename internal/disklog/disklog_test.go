package disklog

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/leaks"
	"github.com/busbar-ws/busbar/internal/logtest"
)

func TestMain(m *testing.M) { leaks.Main(m, leaks.IdleWorkers) }

func open(t *testing.T, path string, o Options) *Log {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// kind is the log with so many bytes in memory.
func kind(tail int) logtest.Kind {
	return logtest.Kind{Ages: true, Open: func(t *testing.T, o logtest.Options) logtest.Opened {
		path := filepath.Join(t.TempDir(), "changes.db")
		with := func(o logtest.Options) *Log {
			return open(t, path, Options{MaxEvents: o.MaxEvents, MaxAge: o.MaxAge, TailBytes: tail})
		}
		l := with(o)
		return logtest.Opened{Log: l, Reopen: func(o logtest.Options) hub.ChangeLog {
			if err := l.Close(); err != nil {
				t.Errorf("closing: %v", err)
			}
			l = with(o)
			return l
		}}
	}}
}

func TestConformance(t *testing.T) { logtest.Run(t, kind(0)) }

// Nearly all is read from the file.
func TestConformanceWithAShortTail(t *testing.T) { logtest.Run(t, kind(1000)) }
