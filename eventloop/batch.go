package eventloop

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// copyUpTo is the size up to which the frames of a flush are put together in one
// buffer. Above it they are sent as pieces, and shared.
const copyUpTo = 64 << 10

// batch is what a flush has for everyone: the feed's frames from first to end, laid out
// once so that each client costs one system call. Owned by its loop.
type batch struct {
	first, end uint64
	size       int
	offsets    []int        // of each frame, from first on
	wire       []byte       // all of it in one piece, or nil
	iov        []unix.Iovec // a piece for each frame, when wire is nil
	buffer     []byte       // behind wire, reused
}

func (b *batch) build(f *feed, first, end uint64) {
	b.first, b.end, b.size = first, end, 0
	b.offsets, b.wire, b.iov = b.offsets[:0], nil, b.iov[:0]
	for pos := first; pos < end; pos++ {
		b.offsets = append(b.offsets, b.size)
		b.size += len(f.at(pos).wire)
	}
	switch {
	case end-first == 1:
		b.wire = f.at(first).wire
	case b.size <= copyUpTo:
		b.buffer = b.buffer[:0]
		for pos := first; pos < end; pos++ {
			b.buffer = append(b.buffer, f.at(pos).wire...)
		}
		b.wire = b.buffer
	default:
		for pos := first; pos < end; pos++ {
			b.iov = append(b.iov, iovec(f.at(pos).wire))
		}
	}
}

// forget lets go of the frames.
func (b *batch) forget() {
	b.wire = nil
	clear(b.iov)
	b.offsets, b.iov = shrink(b.offsets), shrink(b.iov)
}

// rest is how many bytes a client at pos is owed.
func (b *batch) rest(pos uint64) int {
	if pos >= b.end {
		return 0
	}
	return b.size - b.offsets[pos-b.first]
}

// send writes what a client at pos is owed, with one system call.
func (b *batch) send(fd int32, pos uint64) (int, syscall.Errno) {
	if b.wire != nil {
		return send(fd, b.wire[b.offsets[pos-b.first]:])
	}
	iov := b.iov[pos-b.first:]
	return sendv(fd, iov[:min(len(iov), maxIovecs)])
}
