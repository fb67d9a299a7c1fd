package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

const (
	rawInput = 256 << 10 // bytes read from the control connection at a time
	rawBatch = 1 << 20   // bytes of frames at which raw-batch stops to collect
)

// raw is the cheapest sender: an array of sockets, frames encoded once, and a loop of
// non-blocking sends over the array, on one thread that does everything else as well.
// It is owned by that thread; there is no other goroutine.
type raw struct {
	epoll             int
	clientLn, control int // listeners
	bench             int // the control connection, -1 when there is none
	batch             bool

	clients []int32 // sockets past their handshake
	// slots says by descriptor where in clients a socket stands, slotHandshake while it is
	// in its handshake.
	slots map[int32]int
	// requests holds what came of handshakes that weren't complete in one read.
	requests map[int32][]byte

	in        []byte // unread bytes of the control connection; grows to twice the longest record
	frames    []byte // what goes to every client next: so many messages:
	collected int64
	scratch   []byte // what clients say, which is discarded
	count     stats
}

// runRaw serves until a listener fails. With batch, all records that are pending on the
// control connection go out in one send per client.
func runRaw(clients, control net.Listener, batch bool) error {
	runtime.LockOSThread()
	r := &raw{
		bench:    -1,
		batch:    batch,
		slots:    make(map[int32]int),
		requests: make(map[int32][]byte),
		scratch:  make([]byte, 64<<10),
	}
	var err error
	if r.clientLn, err = takeDescriptor(clients); err != nil {
		return err
	}
	if r.control, err = takeDescriptor(control); err != nil {
		return err
	}
	// Linux hands the option down to accepted sockets: one system call instead of one each.
	if err := unix.SetsockoptInt(r.clientLn, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("setting TCP_NODELAY: %w", err)
	}
	if r.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("making an epoll set: %w", err)
	}
	if err := errors.Join(r.watch(r.clientLn), r.watch(r.control)); err != nil {
		return err
	}
	return r.loop()
}

// takeDescriptor takes ln's socket away from Go's network poller, which would be woken for
// each connection too. It stays non-blocking.
func takeDescriptor(ln net.Listener) (int, error) {
	conn, err := ln.(*net.TCPListener).SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("reaching a listener's descriptor: %w", err)
	}
	fd, dupErr := -1, error(nil)
	err = conn.Control(func(d uintptr) { fd, dupErr = unix.FcntlInt(d, unix.F_DUPFD_CLOEXEC, 0) })
	if err := errors.Join(err, dupErr, ln.Close()); err != nil {
		return -1, fmt.Errorf("duplicating a listener's descriptor: %w", err)
	}
	return fd, nil
}

// watch has the loop told when fd can be read or its peer has closed it.
func (r *raw) watch(fd int) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP, Fd: int32(fd)}
	if err := unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return fmt.Errorf("watching descriptor %d: %w", fd, err)
	}
	return nil
}

func (r *raw) loop() error {
	events := make([]unix.EpollEvent, 256)
	for {
		n, err := unix.EpollWait(r.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("waiting for events: %w", err)
		}
		for _, event := range events[:max(n, 0)] {
			if err := r.handle(int(event.Fd)); err != nil {
				return err
			}
		}
	}
}

// handle does what an event on fd asks for. An error ends the target.
func (r *raw) handle(fd int) error {
	switch fd {
	case r.clientLn:
		return r.acceptClients()
	case r.control:
		return r.acceptBench()
	case r.bench:
		if err := r.readBench(); err != nil {
			if !errors.Is(err, errBenchGone) {
				fmt.Fprintln(os.Stderr, "peers: control connection:", err)
			}
			return r.hangUp()
		}
		return nil
	}
	r.readClient(int32(fd))
	return nil
}
