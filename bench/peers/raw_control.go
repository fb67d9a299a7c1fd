package main

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

var errBenchGone = errors.New("the bench has closed the control connection")

// acceptBench takes the control connection. Its listener isn't watched meanwhile: the next
// one waits until this one ends.
func (r *raw) acceptBench() error {
	fd, _, err := unix.Accept4(r.control, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err == unix.EAGAIN || err == unix.ECONNABORTED {
		return nil
	}
	if err != nil {
		return fmt.Errorf("accepting the control connection: %w", err)
	}
	if err := unix.EpollCtl(r.epoll, unix.EPOLL_CTL_DEL, r.control, nil); err != nil {
		return fmt.Errorf("setting the control listener aside: %w", err)
	}
	r.bench, r.in = fd, r.in[:0]
	return r.watch(fd)
}

// hangUp ends the control connection and lets the next one in.
func (r *raw) hangUp() error {
	unix.Close(r.bench)
	r.bench = -1
	return r.watch(r.control)
}

// readBench reads from the control connection once and sends what is complete; with batch it
// reads until there is nothing left, or enough, and sends that.
func (r *raw) readBench() error {
	for {
		drained, err := r.fill()
		if err == nil {
			err = r.take()
		}
		if err != nil {
			r.flush() // what stands before the end, or the fault, is sent
			return err
		}
		if !r.batch || drained || len(r.frames) >= rawBatch {
			r.flush()
			return nil
		}
	}
}

// fill appends to r.in what one read gives and says whether that was less than would fit.
func (r *raw) fill() (drained bool, err error) {
	if free := cap(r.in) - len(r.in); free < rawInput {
		grown := make([]byte, len(r.in), 2*cap(r.in)+rawInput)
		copy(grown, r.in)
		r.in = grown
	}
	room := r.in[len(r.in):cap(r.in)]
	n, err := unix.Read(r.bench, room)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return true, nil
	case err != nil:
		return true, fmt.Errorf("reading: %w", err)
	case n == 0:
		return true, errBenchGone
	}
	r.in = r.in[:len(r.in)+n]
	return n < len(room), nil
}

// take takes the complete records off r.in and collects their frames. Without batch it
// sends each at once.
func (r *raw) take() error {
	rest := r.in
	for {
		payload, isStats, after, err := cut(rest)
		if err == errShort {
			r.in = r.in[:copy(r.in, rest)]
			return nil
		}
		if err != nil {
			return err
		}
		rest = after
		if isStats {
			r.flush() // what stands before the question counts
			if err := r.answer(); err != nil {
				return err
			}
			continue
		}
		r.frames = appendFrame(r.frames, payload)
		r.collected++
		if !r.batch {
			r.flush()
		}
	}
}

// answer sends the statistics. A line is far shorter than an empty socket's buffer, so it
// is sent whole or the bench doesn't read.
func (r *raw) answer() error {
	s := r.count
	s.Clients = int64(len(r.clients))
	line := s.line()
	n, err := unix.SendmsgN(r.bench, line, nil, nil, unix.MSG_NOSIGNAL)
	if err == nil && n < len(line) {
		err = unix.EAGAIN
	}
	if err != nil {
		return fmt.Errorf("answering with statistics: %w", err)
	}
	return nil
}
