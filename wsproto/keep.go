package wsproto

import (
	"math"

	"github.com/gobwas/ws"
	"github.com/valyala/bytebufferpool"
)

// Buffers above this size go to the garbage collector. Keeping them would let
// a client make the pool hand a big buffer to everyone who has sent one byte.
const maxPooled = 1 << 10

// The first buffer's size, so that the first growth steps aren't a byte each.
const minBuffer = 64

// payloads is apart from bytebufferpool's default pool, because a pool learns
// its buffers' size from those that come back.
var payloads bytebufferpool.Pool

// Idle reports that nothing is held: d stands at a frame boundary and outside
// a fragmented message. It may then be Released, and dropped or reused, once the
// last Message's payload is no longer needed.
func (d *Decoder) Idle() bool {
	return d.npart == 0 && !d.inFrame && d.kind == 0
}

// Held is how many bytes of payload of unfinished messages and frames d holds.
// Those of a Message that Decode has returned don't count.
func (d *Decoder) Held() int {
	if d.delivered {
		return d.message
	}
	return d.heldBytes()
}

// Release gives d's buffer back and makes d a zero value again. The last
// Message's payload is no longer valid.
func (d *Decoder) Release() {
	recycle(d.buf)
	if d.inflater != nil {
		d.inflater.free()
	}
	*d = Decoder{}
}

func recycle(b *bytebufferpool.ByteBuffer) {
	if b != nil && cap(b.B) <= maxPooled {
		payloads.Put(b)
	}
}

// forgetDelivered drops the payload that the last Decode lent to its caller.
func (d *Decoder) forgetDelivered() {
	if !d.delivered {
		return
	}
	d.delivered = false
	if d.inflater != nil {
		d.inflater.free()
		d.inflater = nil
	}
	if d.kind == 0 {
		recycle(d.buf)
		d.buf = nil
		return
	}
	if d.buf != nil {
		d.buf.B = d.buf.B[:d.message]
	}
}

func (d *Decoder) held() []byte {
	if d.buf == nil {
		return nil
	}
	return d.buf.B
}

func (d *Decoder) heldBytes() int { return len(d.held()) }

// keep unmasks the next piece of the current frame's payload into d's buffer.
func (d *Decoder) keep(chunk []byte, maxMessage int) error {
	if len(chunk) == 0 && d.left > 0 {
		return nil // still fresh: the payload may come in one piece
	}
	if d.kind == 0 && !d.frame.IsControl() {
		d.kind = d.frame // d.text stands between runes: a message that ends elsewhere is an error
	}
	if len(chunk) == 0 {
		return nil
	}
	d.grow(len(chunk), maxMessage)
	at := len(d.buf.B)
	d.buf.B = append(d.buf.B, chunk...)
	piece := d.buf.B[at:]
	ws.Cipher(piece, d.mask, int(d.phase))
	d.phase = uint8((int(d.phase) + len(chunk)) % len(d.mask))
	d.left -= len(chunk)
	// RFC 6455 8.1. Judged as it comes, so that nothing more is kept of a text
	// that can't become valid.
	if d.frame == ws.OpClose {
		return closeSoFar(d.buf.B[d.message:])
	}
	if !d.frame.IsControl() && d.kind == ws.OpText && !d.deflated && !d.text.accept(piece) {
		return errTextNotUTF8
	}
	return nil
}

// grow makes room for more bytes. It doubles, so that a message that comes byte
// by byte is copied a constant number of times, but not beyond what can come.
func (d *Decoder) grow(more, maxMessage int) {
	if d.buf == nil {
		d.buf = payloads.Get()
	}
	used := len(d.buf.B)
	if used+more <= cap(d.buf.B) {
		return
	}
	most := min(maxMessage, math.MaxInt-maxControl) + maxControl
	if d.deflated {
		most = packedLimit(min(maxMessage, d.inflateTo)) + maxControl
	}
	if d.fin && !d.frame.IsControl() {
		most = used + d.left // the message ends with this frame
	}
	size := max(used+more, min(2*cap(d.buf.B), most), min(minBuffer, most))
	grown := make([]byte, used, size)
	copy(grown, d.buf.B)
	d.buf.B = grown
}
