package hub

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/wsproto"
)

// panicLines counts what is logged about panics.
type panicLines struct {
	slog.Handler
	n atomic.Int32
}

func (l *panicLines) Handle(_ context.Context, r slog.Record) error {
	if r.Level == slog.LevelError {
		l.n.Add(1)
	}
	return nil
}

func quietly(lines *panicLines) *slog.Logger {
	lines.Handler = slog.Default().Handler()
	return slog.New(lines)
}

// angryLog panics while it is told to.
type angryLog struct {
	*MemoryLog
	angry atomic.Bool
}

func (l *angryLog) rage() {
	if l.angry.Load() {
		panic("in the change log")
	}
}

func (l *angryLog) Append(changes []Change) ([]Appended, error) {
	l.rage()
	return l.MemoryLog.Append(changes)
}

func (l *angryLog) Range(ctx context.Context, since uint64, limit int) (Page, error) {
	l.rage()
	return l.MemoryLog.Range(ctx, since, limit)
}

func (l *angryLog) Bounds() Bounds { l.rage(); return l.MemoryLog.Bounds() }

// A change log that panics costs the call, and a client that was to be caught up its
// connection. What the others get has neither gap nor repeat.
func TestPanickingChangeLog(t *testing.T) {
	log, lines := &angryLog{MemoryLog: NewMemoryLog(0, 0)}, &panicLines{}
	h := start(t, func(o *Options) { o.Log, o.Logger = log, quietly(lines) })
	alice := connect(t, h, "alice")
	mustPublish(t, h, someChange)
	alice.Text()
	log.angry.Store(true)
	for range 3 {
		if _, err := h.PublishChange(someChange); !errors.Is(err, ErrPanicked) {
			t.Errorf("publishing: %v", err)
		}
	}
	if _, err := h.Pull(t.Context(), &Identity{}, 0, 10); !errors.Is(err, ErrPanicked) {
		t.Errorf("pulling: %v", err)
	}
	if code, _ := connectQuery(t, h, "bob", "?since=0").Closed(); code != websocket.StatusCode(wsproto.StatusTryAgainLater) {
		t.Errorf("Close %d to a client that catches up", code)
	}
	if n := h.Stats().Panics; n != 6 { // Stats asks the log too
		t.Errorf("%d panics are counted, want 6", n)
	}
	log.angry.Store(false)
	if seq := mustPublish(t, h, someChange); seq != 2 {
		t.Errorf("seq %d behind the panics, want 2", seq)
	}
	eventually(t, "bob has left", func() bool { return h.ClientCount() == 1 })
	for {
		got := alice.Text()
		if strings.HasPrefix(got, `{"seq":2,`) {
			break
		}
		if !strings.Contains(got, `"disconnect"`) { // bob's
			t.Fatalf("alice got %s", got)
		}
	}
	if n := lines.n.Load(); n != 1 { // all come from one place
		t.Errorf("%d lines about the panics, want 1", n)
	}
}

// An identity at which CloseIdentity's function panics ends, and so do all that match behind
// it, now and when they arrive; nobody else does.
func TestPanicInCloseIdentity(t *testing.T) {
	lines := &panicLines{}
	h := start(t, func(o *Options) { o.Logger, o.Loops.Loops = quietly(lines), 1 })
	var clients []*client
	for _, name := range []string{"a", "bomb", "c", "revoked", "e"} {
		clients = append(clients, connect(t, h, name))
	}
	h.CloseIdentity(func(id *Identity) bool {
		if id.UserID == "bomb" {
			panic("in match")
		}
		return id.UserID == "revoked"
	}, "session revoked")
	for i := range []int{1, 3} {
		if code, reason := clients[1+2*i].Closed(); code != websocket.StatusPolicyViolation || reason != "session revoked" {
			t.Errorf("client %d: Close %d %q", 1+2*i, code, reason)
		}
	}
	eventually(t, "two have left", func() bool { return h.ClientCount() == 3 })
	if n := lines.n.Load(); n != 1 {
		t.Errorf("%d lines about the panic, want 1", n)
	}
}

// What panics on a timer doesn't end the process: here the hub has no loops to tell.
func TestPanicOnATimer(t *testing.T) {
	h := &Hub{}
	h.opts.Logger = slog.New(slog.DiscardHandler)
	l := newLeaveBatcher(h)
	l.ids[""] = []uint64{1}
	l.flush()
	if n := h.panics.Count(); n != 1 {
		t.Errorf("%d panics are counted, want 1", n)
	}
}
