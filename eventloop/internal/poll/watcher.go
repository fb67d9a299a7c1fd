package poll

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// watcher says when the socket of a lagging client has room again. gnet has no such
// callback: it would copy what the kernel didn't take into a buffer for each
// connection. Here the bytes stay where they are, shared, and an epoll set of our own
// holds just the sockets that ran full, each armed for one event.
//
// Arm is safe from any goroutine, Run is for one.
type watcher struct {
	epoll int
	stop  int // an eventfd
}

// newWatcher has two descriptors until Close.
func newWatcher() (*watcher, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("creating the epoll set for lagging clients: %w", err)
	}
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(epoll)
		return nil, fmt.Errorf("creating an eventfd: %w", err)
	}
	w := &watcher{epoll: epoll, stop: stop}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: -1}
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, stop, &ev); err != nil {
		w.Close()
		return nil, fmt.Errorf("watching an eventfd: %w", err)
	}
	return w, nil
}

// Arm asks for one event for the socket. Closing the socket takes it out of the set
// (epoll(7)), so nothing has to be undone. known is whether it was armed before.
func (w *watcher) Arm(fd int32, loop int, slot uint32, known bool) error {
	ev := unix.EpollEvent{Events: unix.EPOLLOUT | unix.EPOLLONESHOT, Fd: int32(slot), Pad: int32(loop)}
	op := unix.EPOLL_CTL_ADD
	if known {
		op = unix.EPOLL_CTL_MOD
	}
	return unix.EpollCtl(w.epoll, op, int(fd), &ev)
}

// Run calls writable for each event until Shut is called. An event may come late, for
// a client that has gone and a slot that somebody else has: whoever is told looks.
func (w *watcher) Run(writable func(loop int, slot uint32)) {
	events := make([]unix.EpollEvent, 256)
	for {
		n, err := unix.EpollWait(w.epoll, events, -1)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return
		}
		for _, ev := range events[:n] {
			if ev.Fd == -1 {
				return
			}
			writable(int(ev.Pad), uint32(ev.Fd))
		}
	}
}

// Shut ends Run.
func (w *watcher) Shut() {
	one := [8]byte{1}
	_, _ = unix.Write(w.stop, one[:])
}

// Close is called when Run has returned.
func (w *watcher) Close() {
	unix.Close(w.epoll)
	unix.Close(w.stop)
}
