package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// flush sends the collected frames to every client.
func (r *raw) flush() {
	if r.collected == 0 {
		return
	}
	for i := 0; i < len(r.clients); {
		fd := r.clients[i]
		if !r.send(fd, r.frames) {
			r.drop(fd) // puts another client in this place
			continue
		}
		r.count.Deliveries += r.collected
		i++
	}
	r.frames, r.collected = r.frames[:0], 0
}

// send sends all of b to the socket fd, waiting for room where there is none: nothing may
// be lost, so a client that doesn't read stops everybody. It says whether the client is
// still there.
func (r *raw) send(fd int32, b []byte) bool {
	for len(b) > 0 {
		// Raw: a send that doesn't block needn't tell Go's scheduler that it might.
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])),
			uintptr(len(b)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		r.count.Sends++
		switch errno {
		case 0:
			b = b[n:]
		case unix.EAGAIN:
			r.count.Again++
			if !waitForRoom(fd) {
				return false
			}
		case unix.EINTR:
		default:
			return false
		}
	}
	return true
}

// waitForRoom waits until the socket fd takes bytes again, and says whether it will. A peer
// that has shut its side down counts as gone: nobody else would notice while this waits.
func waitForRoom(fd int32) bool {
	poll := []unix.PollFd{{Fd: fd, Events: unix.POLLOUT | unix.POLLRDHUP}}
	for {
		_, err := unix.Poll(poll, -1)
		if err == unix.EINTR {
			continue
		}
		return err == nil && poll[0].Revents&unix.POLLOUT != 0
	}
}
