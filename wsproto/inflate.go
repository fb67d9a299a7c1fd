package wsproto

import (
	"errors"
	"io"
	"math"
	"sync"

	"github.com/klauspost/compress/flate"
)

const (
	inflateWindow = 32 << 10   // RFC 1951 2: the farthest that a match reaches back
	inflateFirst  = 4 << 10    // size of the first buffer
	inflateKeep   = 64<<10 + 1 // and of the largest that is pooled: -max-message-in by default, and one to tell that it is full
	// maxFinals bounds blocks with BFINAL in one message: two bytes of one make the
	// reader start anew with up to 32 KiB of window.
	maxFinals = 1000
)

// inflater decompresses one message at a time (RFC 7692 7.2.2). It belongs to the Decoder
// that has lent its output to a caller, and is pooled: it takes 40 KiB and its output.
type inflater struct {
	src packed
	r   io.ReadCloser // a flate.Resetter
	out []byte
}

var inflaters = sync.Pool{New: func() any {
	f := &inflater{out: make([]byte, 0, inflateFirst)}
	f.r = flate.NewReader(&f.src)
	return f
}}

func (f *inflater) free() {
	f.src = packed{}
	if f.out = f.out[:0]; cap(f.out) > inflateKeep {
		f.out = make([]byte, 0, inflateFirst)
	}
	inflaters.Put(f)
}

// run inflates payload, which it doesn't keep, to at most limit bytes, and to text if it is
// to be text. No more than one byte above the limit is ever inflated. The result is f's.
func (f *inflater) run(payload []byte, limit int, text bool) ([]byte, error) {
	limit = max(0, min(limit, math.MaxInt-1))
	f.src = packed{rest: payload, behind: packedEnd}
	f.out = f.out[:0]
	if err := f.begin(); err != nil {
		return nil, err
	}
	var runes utf8State
	for finals := 0; ; {
		f.grow(limit)
		at := len(f.out)
		n, err := f.r.Read(f.out[at:min(cap(f.out), limit+1)])
		f.out = f.out[:at+n]
		// In this order, so that the verdict doesn't depend on how much is read at once.
		if text && !runes.accept(f.out[at:min(at+n, limit)]) { // RFC 6455 8.1
			return nil, errTextNotUTF8
		}
		switch {
		case len(f.out) > limit:
			return nil, errTooBig
		case err == nil:
		case !errors.Is(err, io.EOF):
			return nil, ErrInflate
		case f.src.ended():
			if text && !runes.between() {
				return nil, errTextNotUTF8
			}
			return f.out, nil
		default: // RFC 7692 7.2.1: more blocks may follow one with BFINAL
			if finals++; finals > maxFinals {
				return nil, ErrInflate
			}
			if err := f.begin(); err != nil {
				return nil, err
			}
		}
	}
}

// begin starts at the next block. What came out so far is the window of those to come.
func (f *inflater) begin() error {
	if err := f.r.(flate.Resetter).Reset(&f.src, f.out[max(0, len(f.out)-inflateWindow):]); err != nil {
		return ErrInflate
	}
	return nil
}

// grow makes room for more output. One byte more than the limit tells that there is more.
func (f *inflater) grow(limit int) {
	if len(f.out) < min(cap(f.out), limit+1) {
		return
	}
	grown := make([]byte, len(f.out), min(max(2*cap(f.out), inflateFirst), limit+1))
	copy(grown, f.out)
	f.out = grown
}

// packedEnd is read behind a message's payload: the four bytes that its sender left out
// (RFC 7692 7.2.2), and an empty block with BFINAL, at which the reader ends in peace.
const packedEnd = deflateTail + packedStop

const packedStop = "\x01\x00\x00\xff\xff"

// packed reads a payload and what comes behind it. It is an io.ByteReader, of which no
// more is read than belongs to a block.
type packed struct {
	rest   []byte
	behind string
	// A message that ends inside a block must not be completed by packedStop. That was read
	// as the block that it is when its first byte was read alone, as the header of a block
	// without compression, and then its two lengths at once.
	header, stopped bool
}

func (p *packed) ReadByte() (byte, error) {
	if len(p.rest) > 0 {
		b := p.rest[0]
		p.rest = p.rest[1:]
		return b, nil
	}
	if p.behind == "" {
		return 0, io.EOF
	}
	b := p.behind[0]
	p.header = p.behind == packedStop
	p.behind = p.behind[1:]
	return b, nil
}

func (p *packed) Read(b []byte) (n int, err error) {
	p.stopped, p.header = p.header && len(b) == len(packedStop)-1, false
	if n = copy(b, p.rest); n > 0 {
		p.rest = p.rest[n:]
		return n, nil
	}
	if n = copy(b, p.behind); n == 0 && len(b) > 0 {
		return 0, io.EOF
	}
	p.behind = p.behind[n:]
	return n, nil
}

// ended reports that payload and tail have been read: the last block was the one that was
// added, or it was complete without.
func (p *packed) ended() bool {
	return len(p.rest) == 0 && (p.behind == "" && p.stopped || p.behind == packedStop)
}
