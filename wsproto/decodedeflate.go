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

// packedLimit is how long a compressed message may be whose content has at most limit
// bytes. At worst deflate takes nine bits for each byte and a few for its blocks
// (RFC 1951 3.2.6); what is longer has blocks without content.
func packedLimit(limit int) int {
	limit = min(max(limit, 0), maxPackable)
	return limit + limit/8 + 64
}

const maxPackable = math.MaxInt / 2
