package delivery

// copyUpTo is the size up to which the frames of a batch are put together in one
// buffer. Above it they are sent as pieces, and shared.
const copyUpTo = 64 << 10

// Batch is the broadcast log's frames between two positions, laid out once for each form so that each
// client costs one system call. P is a piece of bytes as that call takes it. Owned by its loop.
type Batch[P any] struct {
	Piece func([]byte) P

	log        *BroadcastLog
	first, end uint64
	twins      bool // some frame has one: otherwise the forms are the same
	layouts    [forms]layout[P]
}

// layout is a batch's frames in one form.
type layout[P any] struct {
	laid    bool // it is of this batch
	size    int
	offsets []int  // of each frame, from the batch's first on
	wire    []byte // all of it in one piece, or nil
	pieces  []P    // one for each frame, when wire is nil
	buffer  []byte // behind wire, reused
}

// Build begins a batch of the log's frames from first on. None of them may be trimmed before Forget.
func (b *Batch[P]) Build(log *BroadcastLog, first uint64) {
	b.log, b.first, b.end, b.twins = log, first, log.end, false
	for pos := first; pos < b.end; pos++ {
		b.twins = b.twins || log.At(pos).twin != nil
	}
	for i := range b.layouts {
		b.layouts[i].laid = false
	}
}

// Each calls f for each of the batch's frames.
func (b *Batch[P]) Each(f func(*Frame)) {
	for pos := b.first; pos < b.end; pos++ {
		f(b.log.At(pos))
	}
}

// End is the position behind the batch.
func (b *Batch[P]) End() uint64 { return b.end }

// Owed is what a client of that form who stands at pos is owed of the batch, and how many bytes it is:
// one piece of memory, or several when that is nil.
func (b *Batch[P]) Owed(as Form, pos uint64) (wire []byte, pieces []P, size int) {
	if pos >= b.end {
		return nil, nil, 0
	}
	if !b.twins {
		as = AsIs
	}
	y := &b.layouts[as]
	if !y.laid { // this is the first of them
		b.lay(y, as)
	}
	from := pos - b.first
	if y.wire != nil {
		wire = y.wire[y.offsets[from]:]
		return wire, nil, len(wire)
	}
	return nil, y.pieces[from:], y.size - y.offsets[from]
}

func (b *Batch[P]) lay(y *layout[P], as Form) {
	y.laid, y.size = true, 0
	y.offsets, y.wire, y.pieces = y.offsets[:0], nil, y.pieces[:0]
	for pos := b.first; pos < b.end; pos++ {
		y.offsets = append(y.offsets, y.size)
		y.size += len(b.log.At(pos).In(as))
	}
	switch {
	case b.end-b.first == 1:
		y.wire = b.log.At(b.first).In(as)
	case y.size <= copyUpTo:
		y.buffer = y.buffer[:0]
		for pos := b.first; pos < b.end; pos++ {
			y.buffer = append(y.buffer, b.log.At(pos).In(as)...)
		}
		y.wire = y.buffer
	default:
		for pos := b.first; pos < b.end; pos++ {
			y.pieces = append(y.pieces, b.Piece(b.log.At(pos).In(as)))
		}
	}
}

// Forget lets go of the frames.
func (b *Batch[P]) Forget() {
	for i := range b.layouts {
		y := &b.layouts[i]
		y.laid, y.wire = false, nil
		clear(y.pieces)
		const keep = 4096
		if cap(y.offsets) > keep {
			y.offsets, y.pieces = nil, nil
		}
	}
}

// Tally is what one walk over the clients adds up before it touches counters.
type Tally struct{ Sends, Bytes, Frames uint64 }
