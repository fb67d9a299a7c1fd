package poll

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// PauseReason is why a loop doesn't accept, one bit each.
type PauseReason uint8

// The reasons.
const (
	PausePace        PauseReason = 1 << iota // the loop has accepted as many as it may for now
	PauseHandshakes                          // so many of its connections haven't been upgraded yet
	PauseDescriptors                         // there is no descriptor, or hardly any, in the process or on the host
	pauseReasons     = 3
)

// pauseReasonNames are by bit.
var pauseReasonNames = [pauseReasons]string{"pace", "handshakes", "descriptors"}

// AcceptPause keeps a loop from accepting for a while. gnet has no way to say so; what it has is
// an epoll set for each loop, in which the loop's listener is. During a pause the
// listener is in there with no events: newcomers wait in the kernel's queue, which costs
// the server nothing, and behind that their SYNs are repeated.
//
// Safe from any goroutine. A nil AcceptPause is of a listener that couldn't be found: the loop always accepts.
type AcceptPause struct {
	epoll, listener int
	event           unix.EpollEvent // as gnet has set it; its data is gnet's own
	untuned         int             // connections that may have come before inherit was called. Owned by the loop, once it has this
	pauses          [pauseReasons]atomic.Uint64
	claimed         bool // by its loop; guarded by the Engine's mutex

	mu     sync.Mutex
	why    PauseReason // 0: it accepts
	ended  bool        // the descriptors are gnet's to close, and may be somebody else's
	broken error       // of epoll_ctl
}

// newAcceptPause has the events and the data that gnet gave to epoll_ctl.
func newAcceptPause(epoll, listener int, events uint32, data uint64) *AcceptPause {
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], data)
	return &AcceptPause{epoll: epoll, listener: listener, event: unix.EpollEvent{
		Events: events,
		Fd:     int32(binary.NativeEndian.Uint32(b[:4])), Pad: int32(binary.NativeEndian.Uint32(b[4:])),
	}}
}

// inherit has the listener's connections take their options from it, which saves a system call or two for
// each. It is called before the loop has the AcceptPause.
func (g *AcceptPause) inherit(o *Options) {
	o.tune(g.listener)
	// Of a listener, those that wait to be accepted (net/ipv4/tcp.c, tcp_get_info).
	if info, err := unix.GetsockoptTCPInfo(g.listener, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
		g.untuned = int(info.Unacked)
	} else {
		g.untuned = math.MaxInt
	}
}

// inherited is called on the loop for each connection that it accepts. It is false for one that may have come
// before inherit was called, and for all without a listener.
func (g *AcceptPause) inherited() bool {
	if g == nil {
		return false
	}
	if g.untuned > 0 {
		g.untuned--
		return false
	}
	return true
}

// Pause stops accepting until Resume is called for the same reason. It is true when that
// reason is new.
func (g *AcceptPause) Pause(why PauseReason) bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended || g.why&why != 0 {
		return false
	}
	if g.why == 0 {
		g.listenFor(0)
	}
	g.why |= why
	for i := range g.pauses {
		if why&(1<<i) != 0 {
			g.pauses[i].Add(1)
		}
	}
	return true
}

// Resume takes a reason away; accepting goes on when it was the last.
func (g *AcceptPause) Resume(why PauseReason) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended || g.why&why == 0 {
		return
	}
	if g.why &^= why; g.why == 0 {
		g.listenFor(g.event.Events)
	}
}

func (g *AcceptPause) listenFor(events uint32) {
	ev := g.event
	ev.Events = events
	if err := unix.EpollCtl(g.epoll, unix.EPOLL_CTL_MOD, g.listener, &ev); err != nil {
		g.broken = errors.Join(g.broken, err)
	}
}

// count is how often accepting was paused for the reason of that bit.
func (g *AcceptPause) count(reason int) uint64 { return g.pauses[reason].Load() }

// Paused is 1 while the loop doesn't accept.
func (g *AcceptPause) Paused() int {
	if g == nil {
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.why == 0 {
		return 0
	}
	return 1
}

// Works is false when Pause does nothing.
func (g *AcceptPause) Works() bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.ended && g.broken == nil
}

// End leaves everything as it is for good. gnet is about to close its descriptors.
func (g *AcceptPause) End() {
	g.mu.Lock()
	g.ended = true
	g.mu.Unlock()
}

// eachPause calls f for those that were found.
func (e *Engine) eachPause(f func(*AcceptPause)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, g := range e.pauses {
		f(g)
	}
}

// claimPause finds the one whose epoll set watches the descriptor, nil if none does. Those that
// nobody has claimed are of loops that have no connections yet, so there is little to read.
func (e *Engine) claimPause(fd int) (claimed *AcceptPause) {
	e.eachPause(func(g *AcceptPause) {
		if claimed == nil && !g.claimed && slices.ContainsFunc(watchedBy(g.epoll), func(w watched) bool { return w.fd == fd }) {
			claimed, g.claimed = g, true
		}
	})
	return claimed
}
