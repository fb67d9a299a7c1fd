package eventloop

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/busbar-ws/busbar/eventloop/internal/poll"
)

// gated is an engine of one loop whose listener is known, and a client of it.
func gated(t *testing.T, h *host, tune ...func(*Options)) (*Engine, *poll.AcceptPause, *peer) {
	t.Helper()
	e := start(t, h, append(tune, func(o *Options) { o.Loops = 1 })...)
	p := dial(t, e, "name=first")
	eventually(t, "the loop's listener is known", func() bool { return e.loops[0].poller.AcceptPause() != nil })
	return e, e.loops[0].poller.AcceptPause(), p
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
			if l.poller.AcceptPause() == nil {
				return false
			}
		}
		return true
	})
	for i, l := range e.loops {
		before := l.counters.Accepted.Load()
		for _, other := range e.loops {
			if other != l {
				other.poller.AcceptPause().Pause(poll.PauseDescriptors)
			}
		}
		// Where the hash puts a connection is chance; what gets in got in here.
		eventually(t, fmt.Sprint("loop ", i, " takes one in"), func() bool {
			p := connect(t, e)
			p.Say(request(""))
			lookAround(t, e)
			return l.counters.Accepted.Load() > before
		})
		for _, other := range e.loops {
			other.poller.AcceptPause().Resume(poll.PauseDescriptors)
		}
	}
}

// During a pause connections wait in the kernel's queue, those that are in notice
// nothing, and a pause for two reasons ends when both have gone.
func TestAcceptPauseKeepsNewcomersOutside(t *testing.T) {
	t.Parallel()
	e, g, in := gated(t, &host{})
	for _, first := range []poll.PauseReason{poll.PausePace, poll.PauseDescriptors} {
		if !g.Pause(poll.PausePace) || !g.Pause(poll.PauseDescriptors) || g.Pause(poll.PauseDescriptors) {
			t.Error("a reason is new once")
		}
		late := connect(t, e)
		late.Say(request(""))
		lookAround(t, e)
		before := e.Connections()
		if g.Resume(first); g.Paused() != 1 {
			t.Error("open with a reason left")
		}
		lookAround(t, e)
		if n := e.Connections(); n != before {
			t.Errorf("%d connections, %d before", n, before)
		}
		e.Publish(text("inside"), nil)
		in.Expect(1, "inside")
		g.Resume(poll.PausePace | poll.PauseDescriptors)
		late.Upgraded()
	}
	if s := e.Stats(); s.AcceptPauses["pace"] != 2 || s.AcceptPauses["descriptors"] != 2 || s.AcceptPauses["handshakes"] != 0 {
		t.Errorf("counted: %v", s.AcceptPauses)
	}
	if !g.Works() {
		t.Error("epoll_ctl has failed")
	}
}

// Where listeners can't be found, nothing keeps newcomers outside, and the bound holds all the same.
func TestEngineWithoutAcceptPauses(t *testing.T) {
	t.Parallel()
	const most = 3
	e, g, _ := gated(t, &host{}, func(o *Options) { o.Accept.MaxHandshakes = most })
	g.End()
	for range most {
		connect(t, e)
	}
	eventually(t, "they are in", func() bool { return e.Stats().Loops[0].Handshakes == most })
	connect(t, e).ExpectEnd()
}

// Connections that come once the listener is known have their options from it, those before have them too.
func TestSocketsInheritOptions(t *testing.T) {
	t.Parallel()
	h := &host{}
	e, _, _ := gated(t, h, func(o *Options) {
		o.Timeouts = Timeouts{PingInterval: 2 * time.Hour, Pong: time.Hour}
		o.NotSentLowat = 12_345
	})
	dial(t, e, "name=later")
	for _, name := range []string{"first", "later"} {
		on(t, e, h.id(name), func(c *Client) {
			for option, want := range map[int]int{unix.TCP_USER_TIMEOUT: 3 * 3_600_000, unix.TCP_NOTSENT_LOWAT: 12_345} {
				if got, err := unix.GetsockoptInt(int(c.fd), unix.IPPROTO_TCP, option); err != nil || got != want {
					t.Errorf("the %s client's option %d is %d, want %d: %v", name, option, got, want, err)
				}
			}
		})
	}
}
