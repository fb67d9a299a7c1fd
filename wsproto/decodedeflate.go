package wsproto

import (
	"math"

	"github.com/gobwas/ws"
)

// AllowDeflate lets d take compressed messages (RFC 7692), each inflated to at most limit
// bytes, or maxMessage if that is less. It is called on a zero value, for a client that
// permessage-deflate was negotiated with; Release takes it back.
func (d *Decoder) AllowDeflate(limit int) { d.inflateTo = max(limit, 1) }

// inflate ends a compressed message whose payload is all there.
func (d *Decoder) inflate(kind ws.OpCode, payload []byte, maxMessage int) (Message, error) {
	f := inflaters.Get().(*inflater)
	text, err := f.run(payload, min(maxMessage, d.inflateTo), kind == ws.OpText)
	if err != nil {
		f.free()
		return Message{}, err
	}
	d.kind, d.message, d.deflated = 0, 0, false
	d.inflater, d.delivered = f, true
	if d.buf != nil {
		d.buf.B = d.buf.B[:0] // nothing of it is held any more
	}
	return Message{Opcode: kind, Payload: text}, nil
}

// packedLimit is how long a compressed message may be whose content has at most limit bytes.
// The content is what counts; but a message is kept until it is whole, and blocks without
// content are work for nothing. Seven bytes for one is what an encoder takes that flushes
// behind each: three with the fixed code and the header of an empty block, and that block's
// four (RFC 1951 3.2.4, 3.2.6). A block without compression takes six.
func packedLimit(limit int) int { return packedShare*min(max(limit, 0), maxPackable) + 64 }

const (
	packedShare = 7
	maxPackable = math.MaxInt / (2 * packedShare)
)
