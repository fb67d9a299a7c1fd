package poll

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sends never block, so the Go scheduler need not be told of them: raw system calls
// leave out entersyscall and exitsyscall. MSG_NOSIGNAL: a peer that has gone is an
// EPIPE, not a signal.
const sendFlags = unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL

// MaxIovecs is how many pieces one sendmsg takes at most (UIO_MAXIOV, linux/uio.h).
const MaxIovecs = 1024

// Send is where bytes reach a socket. It returns how many the kernel took; EAGAIN
// means none and that there's no room now. p must not be empty.
func Send(fd int32, p []byte) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), sendFlags, 0, 0)
		if errno == 0 {
			return int(n), 0
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

// Sendv is Send for several pieces in one system call, at most MaxIovecs.
func Sendv(fd int32, iov []unix.Iovec) (int, syscall.Errno) {
	msg := unix.Msghdr{Iov: unsafe.SliceData(iov), Iovlen: uint64(len(iov))}
	for {
		n, _, errno := syscall.RawSyscall(unix.SYS_SENDMSG, uintptr(fd),
			uintptr(unsafe.Pointer(&msg)), sendFlags)
		if errno == 0 {
			runtime.KeepAlive(iov)
			return int(n), 0
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

// Iovec is one piece for Sendv. p must not be empty.
func Iovec(p []byte) unix.Iovec {
	return unix.Iovec{Base: unsafe.SliceData(p), Len: uint64(len(p))}
}
