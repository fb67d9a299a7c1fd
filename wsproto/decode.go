package wsproto

import (
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/valyala/bytebufferpool"
)

// Message is what Decode found: a whole message or a control frame. It belongs
// to the goroutine of its Decoder, and Payload is only lent.
type Message struct {
	Opcode  ws.OpCode // OpText or OpBinary: defragmented; OpPing, OpPong or OpClose: one control frame
	Payload []byte    // unmasked; valid until the next Decode or Release, and until the bytes given to Decode are reused
}

// Decoder reads one client's frames from a stream that comes in any pieces. It
// is owned by one goroutine; the zero value is at a frame boundary. It is
// worth keeping only for a client that isn't Idle.
type Decoder struct {
	buf  *bytebufferpool.ByteBuffer // nil, or message so far, and behind it a control frame's payload so far
	left int                        // payload bytes of the current frame that haven't come
	// Invariant: buf.B[:message] is the fragmented message, whatever control
	// frame came in between. A ping after "ab" leaves message at 2 while buf
	// holds "ab" and the ping's payload.
	message int

	mask    [4]byte
	partial [maxClientHeader]byte // the first bytes of a header that hasn't all come
	npart   uint8

	inflater  *inflater // whose output the last Message's payload is, or nil
	inflateTo int       // limit of compressed messages; 0: compression wasn't negotiated

	phase     uint8     // which byte of mask is next
	frame     ws.OpCode // opcode of the current frame
	kind      ws.OpCode // OpText or OpBinary once a message has begun to be kept, else 0
	fin       bool      // of the current frame
	deflated  bool      // the message that has begun is compressed: buf holds what came of it
	inFrame   bool      // a header has been read, its payload not
	delivered bool      // the last Message's payload lies in buf
	text      utf8State // of the message so far
}

// Decode reads from the front of p. If ok, m is complete, n bytes of p were
// consumed, and Decode wants p[n:] next. If not ok and err is nil, all of p was
// consumed and more is needed.
//
// A compressed message is kept as it comes and inflated when it is complete.
//
// A frame that is a whole message and lies in p with all of its payload is
// unmasked in place, so m.Payload aliases p, which Decode may write to. Other
// payload is unmasked into d's own buffer, once, as it comes; that buffer grows
// by what has come, never by what was announced, to maxMessage bytes and one
// control frame.
//
// maxMessage is the longest message in bytes, all its fragments together. An err
// is a *ProtocolError, after which d must only be Released.
func (d *Decoder) Decode(p []byte, maxMessage int) (m Message, n int, ok bool, err error) {
	d.forgetDelivered()
	for {
		if !d.inFrame {
			used, err := d.readHeader(p[n:], maxMessage)
			n += used
			if err != nil || !d.inFrame {
				return Message{}, n, false, err
			}
		}
		chunk := p[n:]
		if len(chunk) > d.left {
			chunk = chunk[:d.left]
		}
		n += len(chunk)
		if d.wholeIn(chunk) {
			m, err = d.takeInPlace(chunk, maxMessage)
			return m, n, err == nil, err
		}
		if err = d.keep(chunk, maxMessage); err != nil || d.left > 0 {
			return Message{}, n, false, err
		}
		if m, ok, err = d.endFrame(maxMessage); ok || err != nil {
			return m, n, ok, err
		}
	}
}

// readHeader takes the next header or as much of it as p has, and returns how
// many bytes of p that was. d.inFrame tells whether it was all of it.
func (d *Decoder) readHeader(p []byte, maxMessage int) (int, error) {
	have, seen := int(d.npart), p
	if have > 0 {
		seen = d.partial[:have+copy(d.partial[have:], p)]
	}
	h, size, err := parseHeader(seen, d.allowed(maxMessage))
	if err != nil {
		return 0, err
	}
	if size == 0 { // then seen is all of p, and shorter than a header
		d.npart = uint8(have + copy(d.partial[have:], p))
		return len(p), nil
	}
	d.npart, d.phase, d.inFrame = 0, 0, true
	d.frame, d.fin, d.left, d.mask = h.opcode, h.fin, h.length, h.mask
	if h.opcode == ws.OpText || h.opcode == ws.OpBinary {
		d.deflated = h.deflated
	}
	return size - have, nil
}

func (d *Decoder) allowed(maxMessage int) allowed {
	next := allowed{inMessage: d.kind != 0, room: maxMessage - d.message, deflate: d.inflateTo > 0}
	if next.deflate {
		next.packed = packedLimit(min(maxMessage, d.inflateTo))
		if next.inMessage && d.deflated {
			next.room = next.packed - d.message
		}
	}
	return next
}

// wholeIn reports that chunk is the whole payload of a message or control frame.
func (d *Decoder) wholeIn(chunk []byte) bool {
	return len(chunk) == d.left && d.fin && d.frame != ws.OpContinuation && d.fresh()
}

// fresh reports that nothing of the current frame has been kept.
func (d *Decoder) fresh() bool {
	return d.kind == 0 && d.heldBytes() == 0 || d.frame.IsControl() && d.heldBytes() == d.message
}

func (d *Decoder) takeInPlace(payload []byte, maxMessage int) (Message, error) {
	ws.Cipher(payload, d.mask, 0)
	d.inFrame, d.left = false, 0
	if d.deflated && !d.frame.IsControl() {
		return d.inflate(d.frame, payload, maxMessage)
	}
	if d.frame == ws.OpText && !utf8.Valid(payload) { // RFC 6455 8.1
		return Message{}, errTextNotUTF8
	}
	return checked(d.frame, payload)
}

// endFrame ends a frame whose payload has been kept. ok says that a message or
// control frame is complete.
func (d *Decoder) endFrame(maxMessage int) (m Message, ok bool, err error) {
	d.inFrame = false
	held := d.held()
	if d.frame.IsControl() {
		d.delivered = true
		m, err = checked(d.frame, held[d.message:])
		return m, err == nil, err
	}
	d.message = len(held)
	if !d.fin {
		return Message{}, false, nil
	}
	if d.deflated {
		m, err = d.inflate(d.kind, held, maxMessage)
		return m, err == nil, err
	}
	if d.kind == ws.OpText && !d.text.between() { // RFC 6455 8.1: it ends inside a rune
		return Message{}, false, errTextNotUTF8
	}
	m = Message{Opcode: d.kind, Payload: held}
	d.kind, d.message, d.delivered = 0, 0, true
	return m, true, nil
}

// checked judges a close frame's payload; other control frames may carry
// anything.
func checked(opcode ws.OpCode, payload []byte) (Message, error) {
	if opcode == ws.OpClose {
		if _, err := closeCode(payload); err != nil {
			return Message{}, err
		}
	}
	return Message{Opcode: opcode, Payload: payload}, nil
}

// Footprint is how many bytes of memory d's buffer takes, which is at least Held.
func (d *Decoder) Footprint() int {
	if d.buf == nil {
		return 0
	}
	return cap(d.buf.B)
}
