package poll

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// echoless takes every connection in, and reads what comes.
type echoless struct{ drains atomic.Int32 }

func (h *echoless) Opened(_ int, c Conn) any { return c }
func (h *echoless) Readable(client any) bool { client.(Conn).DiscardAll(); return true }
func (h *echoless) Closed(any, error)        {}
func (h *echoless) Drain(int)                { h.drains.Add(1) }
func (h *echoless) Writable(int, uint32)     {}

// started is an engine of one loop that has had a connection and knows its listener.
func started(t *testing.T, log *slog.Logger) (*Engine, *echoless) {
	t.Helper()
	h := &echoless{}
	e := New(h, 1)
	must(t, e.Start(Options{Listen: "127.0.0.1:0", Log: log}))
	t.Cleanup(e.Stop)
	conn, err := net.Dial("tcp", e.Addr().String())
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	wstest.Eventually(t, "the loop's listener is known", func() bool { return e.Loop(0).AcceptPause() != nil })
	return e, h
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// slowWake is a gnet loop that is told of something only when the test lets it be.
type slowWake struct {
	gnet.EventLoop
	entered chan struct{}
	let     chan struct{}
}

func (s slowWake) Execute(ctx context.Context, r gnet.Runnable) error {
	close(s.entered)
	<-s.let
	return s.EventLoop.Execute(ctx, r)
}

// A wake-up is a write to a descriptor of gnet's: it is over before that is closed, and none begins later.
func TestWakeUpIsOverBeforeTheDescriptorIsClosed(t *testing.T) {
	t.Parallel()
	e, _ := started(t, quiet())
	l := e.Loop(0)
	el := slowWake{*l.gnet.Load(), make(chan struct{}), make(chan struct{})}
	var wrapped gnet.EventLoop = el
	l.gnet.Store(&wrapped)
	woke := make(chan struct{})
	go func() { defer close(woke); l.Wake() }()
	<-el.entered
	go e.Stop()
	wstest.Eventually(t, "the engine waits for the wake-up", func() bool {
		free := l.mu.TryRLock()
		if free {
			l.mu.RUnlock()
		}
		return !free
	})
	select {
	case <-e.returned:
		t.Fatal("the descriptor was closed while it was about to be written to")
	default:
	}
	close(el.let)
	<-woke
	<-e.Done()
	l.Wake() // and would enter a second time, which panics
}

// A loop drains after a wake-up from anywhere, and after it has looked at its sockets when it yields.
func TestWakeAndYield(t *testing.T) {
	t.Parallel()
	e, h := started(t, quiet())
	l := e.Loop(0)
	l.Wake()
	wstest.Eventually(t, "it drains", func() bool { return h.drains.Load() == 1 })
	must(t, (*l.gnet.Load()).Execute(t.Context(), gnet.RunnableFunc(func(context.Context) error {
		if !l.Yields() {
			t.Error("it can't look at its sockets first")
		}
		l.Yield()
		return nil
	})))
	wstest.Eventually(t, "it drains again", func() bool { return h.drains.Load() == 2 })
}

// Once gnet has closed its descriptors they may be anybody's.
func TestAcceptPauseIsLeftAloneAfterStop(t *testing.T) {
	t.Parallel()
	e, _ := started(t, quiet())
	g := e.Loop(0).AcceptPause()
	if !g.Pause(PausePace) {
		t.Error("it can't be paused")
	}
	e.Stop()
	if g.Pause(PauseDescriptors) {
		t.Error("a pause of no listener was one")
	}
	if g.Resume(PausePace); g.broken != nil || g.Paused() != 1 {
		t.Errorf("epoll_ctl: %v, paused: %d", g.broken, g.Paused())
	}
}

func TestNoListeners(t *testing.T) {
	t.Parallel()
	var none *AcceptPause
	if none.Pause(PausePace) || none.Paused() != 0 || none.Works() {
		t.Error("a pause that isn't there was one")
	}
	none.Resume(PausePace)
	if found, err := findListeners(netip.MustParseAddrPort("127.0.0.1:1")); err != nil || len(found) != 0 {
		t.Errorf("found %v, %v", found, err)
	}
}

// However often room comes and goes, it is logged once in a while.
func TestLackOfRoomIsLoggedOnce(t *testing.T) {
	t.Parallel()
	var log wstest.Text
	e, _ := started(t, slog.New(slog.NewTextHandler(&log, nil)))
	for range 5 {
		(*events)(e).Errorf(acceptFailure, unix.ENOBUFS)
		wstest.Eventually(t, "accepting goes on", func() bool { return e.Loop(0).AcceptPause().Paused() == 0 })
	}
	(*events)(e).Errorf(acceptFailure, unix.EPERM) // was that one connection's
	if n := e.AcceptPauses()["descriptors"]; n != 5 || e.AcceptErrors() != 6 {
		t.Errorf("paused %d times, %d accepts failed", n, e.AcceptErrors())
	}
	e.Stop()
	if warned, again := strings.Count(log.String(), "level=WARN"), strings.Count(log.String(), "level=INFO"); warned != 1 || again != 1 {
		t.Errorf("logged:\n%s", log.String())
	}
}
