package eventloop

import (
	"fmt"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// gated is an engine of one loop whose listener is known, and a client of it.
func gated(t *testing.T, h *host, tune ...func(*Options)) (*Engine, *acceptPause, *peer) {
	t.Helper()
	e := start(t, h, append(tune, func(o *Options) { o.Loops = 1 })...)
	p := dial(t, e, "name=first")
	eventually(t, "the loop's listener is known", func() bool { return e.loops[0].accepting.pause.Load() != nil })
	return e, e.loops[0].accepting.pause.Load(), p
}

// lookAround has each loop look at its sockets several times.
func lookAround(t *testing.T, e *Engine) {
	t.Helper()
	for range 20 {
		everyLoop(t, e, func(*Loop) {})
	}
}

// Each loop has its own listener, and it is the right one.
func TestEveryLoopFindsItsListener(t *testing.T) {
	t.Parallel()
	const loops = 4
	e := start(t, &host{}, func(o *Options) { o.Loops = loops })
	eventually(t, "every loop has had a connection and has its listener", func() bool {
		dial(t, e, "")
		for _, l := range e.loops {
			if l.accepting.pause.Load() == nil {
				return false
			}
		}
		return true
	})
	for i, l := range e.loops {
		before := l.counters.accepted.Load()
		for _, other := range e.loops {
			if other != l {
				other.accepting.pause.Load().pause(pauseDescriptors)
			}
		}
		// Where the hash puts a connection is chance; what gets in got in here.
		eventually(t, fmt.Sprint("loop ", i, " takes one in"), func() bool {
			p := connect(t, e)
			p.Say(request(""))
			lookAround(t, e)
			return l.counters.accepted.Load() > before
		})
		for _, other := range e.loops {
			other.accepting.pause.Load().resume(pauseDescriptors)
		}
	}
}

// During a pause connections wait in the kernel's queue, those that are in notice
// nothing, and a pause for two reasons ends when both have gone.
func TestAcceptPauseKeepsNewcomersOutside(t *testing.T) {
	t.Parallel()
	e, g, in := gated(t, &host{})
	for _, first := range []pauseReason{pausePace, pauseDescriptors} {
		if !g.pause(pausePace) || !g.pause(pauseDescriptors) || g.pause(pauseDescriptors) {
			t.Error("a reason is new once")
		}
		late := connect(t, e)
		late.Say(request(""))
		lookAround(t, e)
		before := e.Connections()
		if g.resume(first); g.paused() != 1 {
			t.Error("open with a reason left")
		}
		lookAround(t, e)
		if n := e.Connections(); n != before {
			t.Errorf("%d connections, %d before", n, before)
		}
		e.Publish(text("inside"), nil)
		in.Expect(1, "inside")
		g.resume(pausePace | pauseDescriptors)
		late.Upgraded()
	}
	if s := e.Stats(); s.AcceptPauses["pace"] != 2 || s.AcceptPauses["descriptors"] != 2 || s.AcceptPauses["handshakes"] != 0 {
		t.Errorf("counted: %v", s.AcceptPauses)
	}
	if g.broken != nil {
		t.Error(g.broken)
	}
}

// Once gnet has closed its descriptors they may be anybody's.
func TestAcceptPauseIsLeftAloneAfterStop(t *testing.T) {
	t.Parallel()
	e, g, _ := gated(t, &host{})
	e.Stop()
	if g.pause(pauseDescriptors) {
		t.Error("a pause of no listener was one")
	}
	if g.resume(pauseDescriptors); g.broken != nil {
		t.Error(g.broken)
	}
}

func TestEngineWithoutAcceptPauses(t *testing.T) {
	t.Parallel()
	var none *acceptPause
	if none.pause(pausePace) || none.paused() != 0 {
		t.Error("a pause that isn't there was one")
	}
	none.resume(pausePace)
	if found, err := findListeners(netip.MustParseAddrPort("127.0.0.1:1")); err != nil || len(found) != 0 {
		t.Errorf("found %v, %v", found, err)
	}
	// Nothing keeps newcomers outside then, and the bound holds all the same.
	const most = 3
	e, _, _ := gated(t, &host{}, func(o *Options) { o.MaxHandshakes = most })
	e.loops[0].accepting.pause.Store(nil)
	for range most {
		connect(t, e)
	}
	eventually(t, "they are in", func() bool { return e.Stats().Loops[0].Handshakes == most })
	connect(t, e).ExpectEnd()
}

func TestParseWatched(t *testing.T) {
	for line, want := range map[string]watched{
		"tfd:        5 events:       1d data: ffffffffffffffff pos:0 ino:61af sdev:7": {5, 0x1d, 1<<64 - 1},
		"tfd: 12 events: 8000001b data: c00012":                                       {12, 0x8000001b, 0xc00012},
	} {
		if got, ok := parseWatched(line); !ok || got != want {
			t.Errorf("%q: %+v, %v", line, got, ok)
		}
	}
	for _, line := range []string{"", "pos:	0", "flags:	02000002", "tfd: x events: 1 data: 1", "tfd: 1 events: 1", "tfd: 1 events: 100000000 data: 1"} {
		if got, ok := parseWatched(line); ok {
			t.Errorf("%q: %+v", line, got)
		}
	}
}

// What the kernel prints is what it was given.
func TestWatchedByKernel(t *testing.T) {
	w, err := newWatcher()
	must(t, err)
	defer w.close()
	all := watchedBy(w.epoll)
	if len(all) != 1 || all[0].fd != w.stop || all[0].events&unix.EPOLLIN == 0 {
		t.Fatalf("%+v", all)
	}
	g := newAcceptPause(w.epoll, w.stop, all[0].events, all[0].data)
	if g.event.Fd != -1 || g.event.Pad != 0 { // newWatcher's
		t.Errorf("data %x became %+v", all[0].data, g.event)
	}
}
