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

// maxPieces is how many pieces one sendmsg takes at most (UIO_MAXIOV, linux/uio.h).
const maxPieces = 1024

// Piece is what Sendv sends one or several of.
type Piece = unix.Iovec

// PieceOf refers to p, which must not be empty.
func PieceOf(p []byte) Piece { return Piece{Base: unsafe.SliceData(p), Len: uint64(len(p))} }

// Send is where bytes reach a socket. It returns how many the kernel took, which has no room for
// more now when that isn't all; ok is false when the connection has broken. p must not be empty.
func Send(fd int32, p []byte) (n int, ok bool) {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), sendFlags, 0, 0)
		if errno == 0 {
			return int(n), true
		}
		if errno != unix.EINTR {
			return 0, errno == unix.EAGAIN
		}
	}
}

// Sendv is Send for several pieces in one system call, which takes as many as it can.
func Sendv(fd int32, pieces []Piece) (n int, ok bool) {
	msg := unix.Msghdr{Iov: unsafe.SliceData(pieces), Iovlen: uint64(min(len(pieces), maxPieces))}
	for {
		n, _, errno := syscall.RawSyscall(unix.SYS_SENDMSG, uintptr(fd),
			uintptr(unsafe.Pointer(&msg)), sendFlags)
		if errno == 0 {
			runtime.KeepAlive(pieces)
			return int(n), true
		}
		if errno != unix.EINTR {
			return 0, errno == unix.EAGAIN
		}
	}
}
