package eventloop

import (
	"fmt"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// gated is an engine of one loop whose gate is known, and a client of it.
func gated(t *testing.T, h *host, tune ...func(*Options)) (*Engine, *gate, *peer) {
	t.Helper()
	e := start(t, h, append(tune, func(o *Options) { o.Loops = 1 })...)
	p := dial(t, e, "name=first")
	eventually(t, "the loop's gate is known", func() bool { return e.loops[0].gate.Load() != nil })
	return e, e.loops[0].gate.Load(), p
}

// lookAround has each loop look at its sockets several times.
func lookAround(t *testing.T, e *Engine) {
	t.Helper()
	for range 20 {
		everyLoop(t, e, func(*Loop) {})
	}
}

// Each loop has its own gate, and it is the right one.
func TestEveryLoopFindsItsGate(t *testing.T) {
	t.Parallel()
	const loops = 4
	e := start(t, &host{}, func(o *Options) { o.Loops = loops })
	eventually(t, "every loop has had a connection and has its gate", func() bool {
		dial(t, e, "")
		for _, l := range e.loops {
			if l.gate.Load() == nil {
				return false
			}
		}
		return true
	})
	for i, l := range e.loops {
		before := l.counters.accepted.Load()
		for _, other := range e.loops {
			if other != l {
				other.gate.Load().shut(shutRoom)
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
			other.gate.Load().open(shutRoom)
		}
	}
}

// Behind a shut gate connections wait in the kernel's queue, those that are in notice
// nothing, and a gate that is shut for two reasons opens when both have gone.
func TestGateKeepsNewcomersOutside(t *testing.T) {
	t.Parallel()
	e, g, in := gated(t, &host{})
	for _, first := range []reason{shutPace, shutRoom} {
		if !g.shut(shutPace) || !g.shut(shutRoom) || g.shut(shutRoom) {
			t.Error("a reason is new once")
		}
		late := connect(t, e)
		late.Say(request(""))
		lookAround(t, e)
		before := e.Connections()
		if g.open(first); g.shutNow() != 1 {
			t.Error("open with a reason left")
		}
		lookAround(t, e)
		if n := e.Connections(); n != before {
			t.Errorf("%d connections, %d before", n, before)
		}
		e.Publish(text("inside"), nil)
		in.Expect(1, "inside")
		g.open(shutPace | shutRoom)
		late.Upgraded()
	}
	if s := e.Stats(); s.GateShuts["pace"] != 2 || s.GateShuts["room"] != 2 || s.GateShuts["handshakes"] != 0 {
		t.Errorf("counted: %v", s.GateShuts)
	}
	if g.broken != nil {
		t.Error(g.broken)
	}
}

// Once gnet has closed its descriptors they may be anybody's.
func TestGateIsLeftAloneAfterStop(t *testing.T) {
	t.Parallel()
	e, g, _ := gated(t, &host{})
	e.Stop()
	if g.shut(shutRoom) {
		t.Error("a gate without a door was shut")
	}
	if g.open(shutRoom); g.broken != nil {
		t.Error(g.broken)
	}
}

func TestEngineWithoutGates(t *testing.T) {
	t.Parallel()
	var none *gate
	if none.shut(shutPace) || none.shutNow() != 0 {
		t.Error("a gate that isn't there was shut")
	}
	none.open(shutPace)
	if found, err := findGates(netip.MustParseAddrPort("127.0.0.1:1")); err != nil || len(found) != 0 {
		t.Errorf("found %v, %v", found, err)
	}
	// Nothing keeps newcomers outside then, and the bound holds all the same.
	const most = 3
	e, _, _ := gated(t, &host{}, func(o *Options) { o.MaxHandshakes = most })
	e.loops[0].gate.Store(nil)
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
	g := newGate(w.epoll, w.stop, all[0].events, all[0].data)
	if g.event.Fd != -1 || g.event.Pad != 0 { // newWatcher's
		t.Errorf("data %x became %+v", all[0].data, g.event)
	}
}
