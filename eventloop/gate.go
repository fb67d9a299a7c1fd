package eventloop

import (
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// reason is why a gate is shut, one bit each.
type reason uint8

const (
	shutPace       reason = 1 << iota // the loop has accepted as many as it may for now
	shutHandshakes                    // so many of its connections haven't been upgraded yet
	shutRoom                          // there is no descriptor, or hardly any, in the process or on the host
	reasons        = 3
)

var reasonNames = [reasons]string{"pace", "handshakes", "room"}

// gate keeps a loop from accepting for a while. gnet has no way to say so; what it has is
// an epoll set for each loop, in which the loop's listener is. While a gate is shut the
// listener is in there with no events: newcomers wait in the kernel's queue, which costs
// the server nothing, and behind that their SYNs are repeated.
//
// Safe from any goroutine. A nil gate is one that couldn't be found; it stays open.
type gate struct {
	epoll, listener int
	event           unix.EpollEvent // as gnet has set it; its data is gnet's own
	shuts           [reasons]atomic.Uint64

	mu     sync.Mutex
	why    reason // 0: open
	ended  bool   // the descriptors are gnet's to close, and may be somebody else's
	broken error  // of epoll_ctl, once
}

// newGate has the events and the data that gnet gave to epoll_ctl.
func newGate(epoll, listener int, events uint32, data uint64) *gate {
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], data)
	return &gate{epoll: epoll, listener: listener, event: unix.EpollEvent{
		Events: events,
		Fd:     int32(binary.NativeEndian.Uint32(b[:4])), Pad: int32(binary.NativeEndian.Uint32(b[4:])),
	}}
}

// shut shuts the gate until open is called for the same reason. It is true when that
// reason is new.
func (g *gate) shut(why reason) bool {
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
	for i := range g.shuts {
		if why&(1<<i) != 0 {
			g.shuts[i].Add(1)
		}
	}
	return true
}

// open takes a reason away, and opens the gate if it was the last.
func (g *gate) open(why reason) {
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

func (g *gate) listenFor(events uint32) {
	ev := g.event
	ev.Events = events
	if err := unix.EpollCtl(g.epoll, unix.EPOLL_CTL_MOD, g.listener, &ev); err != nil {
		g.broken = errors.Join(g.broken, err)
	}
}

// shutNow is 1 while the gate is shut.
func (g *gate) shutNow() int {
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

// end leaves the gate as it is for good. gnet is about to close its descriptors.
func (g *gate) end() {
	g.mu.Lock()
	g.ended = true
	g.mu.Unlock()
}
