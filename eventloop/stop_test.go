package eventloop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// docs/protocol.md section 3, close codes: draining is a Close to everyone, behind what is owed.
func TestDrain(t *testing.T) {
	t.Parallel()
	h := newPendingHost()
	h.onUpgrade = nil
	e := start(t, h, lagFar)
	var peers []*peer
	for i := range 10 {
		peers = append(peers, dial(t, e, fmt.Sprint("name=", i), wstest.SmallWindow))
	}
	half := connect(t, e)
	half.Say("GET /")
	stopTicking(t, e) // or the last one would have closeWait to read all of it
	for i := range 200 {
		e.Publish(numbered(i, 3000), nil)
	}
	drained := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		drained <- e.Drain(ctx, ws.StatusGoingAway, "server draining")
	}()
	half.ExpectEnd()
	eventually(t, "newcomers are refused", func() bool {
		_, ok := admitted(t, e, net.IPv4(127, 0, 0, 1))
		return !ok
	})
	for _, p := range peers {
		select {
		case err := <-drained:
			t.Fatalf("drained before the last client had gone: %v", err)
		default:
		}
		expectSequence(t, p, 0, 199)
		p.ExpectClose(1001)
		p.Say(wsClose(1001))
		p.ExpectEnd()
		p.Close()
	}
	must(t, <-drained)
	if n := e.Connections(); n != 0 {
		t.Errorf("drained with %d connections", n)
	}
}

// Nobody to wait for: it returns at once, also when nobody has ever connected.
func TestDrainWithoutClients(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	e := start(t, &host{})
	must(t, e.Drain(ctx, 1001, ""))
	must(t, e.Drain(ctx, 1001, ""))
}

func TestDrainIsBounded(t *testing.T) {
	t.Parallel()
	e := start(t, &host{})
	p := dial(t, e, "name=x")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := e.Drain(ctx, 1001, ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a client that doesn't answer: %v", err)
	}
	p.ExpectClose(1001)
}

// Stopping ends connections, and the calls that wait for loops.
func TestStopWithClients(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h)
	var peers []*peer
	for i := range 20 {
		peers = append(peers, dial(t, e, fmt.Sprint("name=", i)))
	}
	hold := make(chan struct{})
	waiting := make(chan error, 1)
	go func() {
		waiting <- e.Each(context.Background(), func(*Loop) { <-hold })
	}()
	stopped := make(chan struct{})
	go func() { defer close(stopped); e.Stop() }()
	close(hold)
	<-stopped
	if err := <-waiting; err != nil && !errors.Is(err, ErrStopped) {
		t.Errorf("a call that was waiting: %v", err)
	}
	for _, p := range peers {
		p.ExpectEnd()
	}
	select {
	case <-e.Failed():
	default:
		t.Error("Failed isn't closed")
	}
	if e.Err() != nil || e.Clients() != 0 || e.Connections() != 0 {
		t.Errorf("stopped with %v, %d clients, %d connections", e.Err(), e.Clients(), e.Connections())
	}
	callsAfterStop(t, e, h.id("1"))
}

// callsAfterStop: all return, and do nothing.
func callsAfterStop(t *testing.T, e *Engine, id uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := e.Each(ctx, func(*Loop) { t.Error("ran on a stopped loop") }); !errors.Is(err, ErrStopped) {
		t.Errorf("Each: %v", err)
	}
	if err := e.Drain(ctx, 1001, ""); err != nil && !errors.Is(err, ErrStopped) {
		t.Errorf("Drain: %v", err)
	}
	e.Publish(text("x"), nil)
	e.Post(id, func(*Client) { t.Error("ran for a client that has gone") })
	e.Stop()
	if _, err := net.DialTimeout("tcp", e.Addr().String(), time.Second); err == nil {
		t.Error("the listener is open still")
	}
}

// SO_REUSEPORT would let a second server have half of the connections.
func TestPortInUse(t *testing.T) {
	t.Parallel()
	first := start(t, &host{})
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer plain.Close()
	for _, addr := range []string{first.Addr().String(), plain.Addr().String(), "127.0.0.1:x", "nowhere", "192.0.2.1:1"} {
		e, err := New(&host{}, Options{Listen: addr, Loops: 1, Accept: AcceptOptions{Reserve: 32}, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
		must(t, err)
		if err = e.Start(); err == nil {
			e.Stop()
			t.Errorf("%s: started", addr)
		} else if !strings.Contains(err.Error(), addr) {
			t.Errorf("%s: the error doesn't name it: %v", addr, err)
		}
	}
}

// A port is free again once the server on it has stopped.
func TestPortIsFreeAfterStop(t *testing.T) {
	t.Parallel()
	first := start(t, &host{})
	p := dial(t, first, "name=x")
	first.Stop()
	p.ExpectEnd()
	second := start(t, &host{}, func(o *Options) { o.Listen = first.Addr().String() })
	dial(t, second, "name=x")
}

// gnet looks for the first time after half a second for whether it has ended, which isn't waited for.
func TestStopIsQuick(t *testing.T) {
	t.Parallel()
	quickest := time.Hour
	for range 5 { // a busy machine may be late now and then; half a second each time is gnet's
		e := start(t, &host{})
		dial(t, e, "name=x")
		began := time.Now()
		e.Stop()
		quickest = min(quickest, time.Since(began))
	}
	if quickest > 450*time.Millisecond {
		t.Errorf("the quickest of five took %v", quickest)
	}
}

// Nothing keeps an engine that doesn't run: one that was never started, or failed to start.
func TestEngineIsCollected(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	for name, use := range map[string]func(t *testing.T, e *Engine){
		"never started": func(*testing.T, *Engine) {},
		"failed to start": func(t *testing.T, e *Engine) {
			if e.opts.Listen = taken.Addr().String(); e.Start() == nil {
				t.Error("started on a port that is taken")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var gone atomic.Bool
			func() {
				h := &host{}
				runtime.AddCleanup(h, func(gone *atomic.Bool) { gone.Store(true) }, &gone)
				e, err := New(h, Options{Listen: "127.0.0.1:0", Loops: 2, Accept: AcceptOptions{Reserve: 32}})
				must(t, err)
				use(t, e)
			}()
			eventually(t, "it is collected", func() bool { runtime.GC(); return gone.Load() })
		})
	}
}
