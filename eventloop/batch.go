package eventloop

import "github.com/busbar-ws/busbar/eventloop/internal/poll"

// copyUpTo is the size up to which the frames of a flush are put together in one
// buffer. Above it they are sent as pieces, and shared.
const copyUpTo = 64 << 10

// batch is what a flush has for everyone: the log's frames from first to end, laid out
// once for each form so that each client costs one system call. Owned by its loop.
type batch struct {
	first, end uint64
	twins      bool // some frame has one: otherwise the forms are the same
	layouts    [forms]layout
}

// layout is a batch's frames in one form.
type layout struct {
	laid    bool // it is of this batch
	size    int
	offsets []int        // of each frame, from the batch's first on
	wire    []byte       // all of it in one piece, or nil
	iov     []poll.Piece // a piece for each frame, when wire is nil
	buffer  []byte       // behind wire, reused
}

func (b *batch) build(f *broadcastLog, first, end uint64) {
	b.first, b.end, b.twins = first, end, false
	for pos := first; pos < end; pos++ {
		b.twins = b.twins || f.at(pos).twin != nil
	}
	for i := range b.layouts {
		b.layouts[i].laid = false
	}
}

// layout is the batch as clients of that form are to have it. It is laid out when the first
// of them comes along; nothing is trimmed from the broadcast log before the walk is over.
func (b *batch) layout(f *broadcastLog, as form) *layout {
	if !b.twins {
		as = asIs
	}
	y := &b.layouts[as]
	if !y.laid {
		y.lay(f, b.first, b.end, as)
	}
	return y
}

func (y *layout) lay(f *broadcastLog, first, end uint64, as form) {
	y.laid, y.size = true, 0
	y.offsets, y.wire, y.iov = y.offsets[:0], nil, y.iov[:0]
	for pos := first; pos < end; pos++ {
		y.offsets = append(y.offsets, y.size)
		y.size += len(f.at(pos).in(as))
	}
	switch {
	case end-first == 1:
		y.wire = f.at(first).in(as)
	case y.size <= copyUpTo:
		y.buffer = y.buffer[:0]
		for pos := first; pos < end; pos++ {
			y.buffer = append(y.buffer, f.at(pos).in(as)...)
		}
		y.wire = y.buffer
	default:
		for pos := first; pos < end; pos++ {
			y.iov = append(y.iov, poll.PieceOf(f.at(pos).in(as)))
		}
	}
}

// forget lets go of the frames.
func (b *batch) forget() {
	for i := range b.layouts {
		y := &b.layouts[i]
		y.laid, y.wire = false, nil
		clear(y.iov)
		y.offsets, y.iov = shrink(y.offsets), shrink(y.iov)
	}
}

// rest is how many bytes a client at pos is owed.
func (b *batch) rest(y *layout, pos uint64) int {
	if pos >= b.end {
		return 0
	}
	return y.size - y.offsets[pos-b.first]
}

// send writes what a client at pos is owed, with one system call.
func (b *batch) send(y *layout, fd int32, pos uint64) (n int, ok bool) {
	from := pos - b.first
	if y.wire != nil {
		return poll.Send(fd, y.wire[y.offsets[from]:])
	}
	iov := y.iov[from:]
	return poll.Sendv(fd, iov[:min(len(iov), poll.MaxPieces)])
}
