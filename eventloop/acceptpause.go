package eventloop

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// pauseReason is why a loop doesn't accept, one bit each.
type pauseReason uint8

const (
	pausePace        pauseReason = 1 << iota // the loop has accepted as many as it may for now
	pauseHandshakes                          // so many of its connections haven't been upgraded yet
	pauseDescriptors                         // there is no descriptor, or hardly any, in the process or on the host
	pauseReasons     = 3
)

var pauseReasonNames = [pauseReasons]string{"pace", "handshakes", "descriptors"}

// acceptPause keeps a loop from accepting for a while. gnet has no way to say so; what it has is
// an epoll set for each loop, in which the loop's listener is. During a pause the
// listener is in there with no events: newcomers wait in the kernel's queue, which costs
// the server nothing, and behind that their SYNs are repeated.
//
// Safe from any goroutine. A nil acceptPause is of a listener that couldn't be found: the loop always accepts.
type acceptPause struct {
	epoll, listener int
	event           unix.EpollEvent // as gnet has set it; its data is gnet's own
	pauses          [pauseReasons]atomic.Uint64

	mu     sync.Mutex
	why    pauseReason // 0: it accepts
	ended  bool        // the descriptors are gnet's to close, and may be somebody else's
	broken error       // of epoll_ctl, once
}

// newAcceptPause has the events and the data that gnet gave to epoll_ctl.
func newAcceptPause(epoll, listener int, events uint32, data uint64) *acceptPause {
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], data)
	return &acceptPause{epoll: epoll, listener: listener, event: unix.EpollEvent{
		Events: events,
		Fd:     int32(binary.NativeEndian.Uint32(b[:4])), Pad: int32(binary.NativeEndian.Uint32(b[4:])),
	}}
}

// pause stops accepting until resume is called for the same reason. It is true when that
// reason is new.
func (g *acceptPause) pause(why pauseReason) bool {
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

// resume takes a reason away; accepting goes on when it was the last.
func (g *acceptPause) resume(why pauseReason) {
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

func (g *acceptPause) listenFor(events uint32) {
	ev := g.event
	ev.Events = events
	if err := unix.EpollCtl(g.epoll, unix.EPOLL_CTL_MOD, g.listener, &ev); err != nil {
		g.broken = errors.Join(g.broken, err)
	}
}

// paused is 1 while the loop doesn't accept.
func (g *acceptPause) paused() int {
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

// end leaves everything as it is for good. gnet is about to close its descriptors.
func (g *acceptPause) end() {
	g.mu.Lock()
	g.ended = true
	g.mu.Unlock()
}

// acceptPauses are those of all loops. Safe from any goroutine.
type acceptPauses struct {
	mu   sync.Mutex
	all  []*acceptPause
	free []*acceptPause // that no loop has claimed
}

func (s *acceptPauses) set(found []*acceptPause) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all, s.free = found, slices.Clone(found)
}

func (s *acceptPauses) each(f func(*acceptPause)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.all {
		f(g)
	}
}

// any is false where no listener could be found, which was logged.
func (s *acceptPauses) any() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all) > 0
}

// end leaves all as they are for good.
func (s *acceptPauses) end() { s.each((*acceptPause).end) }

// claim finds the one whose epoll set watches the descriptor, nil if none does. Those that
// nobody has claimed are of loops that have no connections yet, so there is little to read.
func (s *acceptPauses) claim(fd int) *acceptPause {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, g := range s.free {
		if slices.ContainsFunc(watchedBy(g.epoll), func(w watched) bool { return w.fd == fd }) {
			s.free = slices.Delete(s.free, i, i+1)
			return g
		}
	}
	return nil
}
