package wsproto

import (
	"encoding/binary"

	"github.com/gobwas/ws"
)

const (
	maxClientHeader = 14  // RFC 6455 5.2: two bytes, eight of length, four of mask
	maxControl      = 125 // RFC 6455 5.5: the longest payload of a control frame
)

// header is a client's frame header, checked.
type header struct {
	opcode   ws.OpCode
	fin      bool
	deflated bool // it begins a compressed message
	length   int
	mask     [4]byte
}

// allowed is what a client's next frame may be.
type allowed struct {
	inMessage bool // a fragmented message has begun
	room      int  // payload bytes that a data frame may still bring
	deflate   bool // compression was negotiated: a message may begin with RSV1
	packed    int  // room of a frame that begins a compressed message
}

// parseHeader reads a header from the front of p. size is 0 when p holds only
// the beginning of one.
//
// Each byte is judged when it is there and in the order of the wire, so that the
// verdict on a stream doesn't depend on how it was cut.
func parseHeader(p []byte, next allowed) (h header, size int, err error) {
	if len(p) == 0 {
		return h, 0, nil
	}
	h.opcode, h.fin, h.deflated = ws.OpCode(p[0]&0x0f), p[0]&finBit != 0, p[0]&rsv1Bit != 0
	if err = checkFirstByte(p[0], next); err != nil || len(p) == 1 {
		return h, 0, err
	}
	if err = checkSecondByte(h.opcode, p[1]); err != nil {
		return h, 0, err
	}
	length, size, err := parseLength(p)
	if err != nil || size == 0 {
		return h, 0, err
	}
	// RFC 6455 7.4.1, 1009. Judged before the payload is there: what is
	// announced is never waited for.
	room := next.room
	if h.deflated {
		room = next.packed
	}
	if !h.opcode.IsControl() && length > uint64(max(room, 0)) {
		return h, 0, errTooBig
	}
	h.length = int(length)
	if len(p) < size+4 {
		return h, 0, nil
	}
	copy(h.mask[:], p[size:])
	return h, size + 4, nil
}

func checkFirstByte(b byte, next allowed) error {
	opcode, fin, inMessage := ws.OpCode(b&0x0f), b&finBit != 0, next.inMessage
	begins := opcode == ws.OpText || opcode == ws.OpBinary
	switch {
	case b&0x30 != 0, b&rsv1Bit != 0 && !next.deflate: // RFC 6455 5.2: RSV1-3 must be 0 unless an extension was negotiated
		return errReservedBits
	case b&rsv1Bit != 0 && !begins: // RFC 7692 6.1: neither on control frames nor on a message's later fragments
		return errReservedBits
	case opcode.IsReserved(): // RFC 6455 5.2: 3-7 and 11-15 fail the connection
		return errReservedOpcode
	case opcode.IsControl() && !fin: // RFC 6455 5.5
		return errFragmentedControl
	case opcode == ws.OpContinuation && !inMessage: // RFC 6455 5.4
		return errStrayContinuation
	case begins && inMessage: // RFC 6455 5.4: messages don't interleave
		return errInterruptedMessage
	}
	return nil
}

func checkSecondByte(opcode ws.OpCode, b byte) error {
	length := b & 0x7f
	switch {
	case b&0x80 == 0: // RFC 6455 5.1: close on a frame that isn't masked
		return errUnmasked
	case opcode.IsControl() && length > maxControl: // RFC 6455 5.5
		return errLongControl
	case opcode == ws.OpClose && length == 1: // RFC 6455 5.5.1: no payload, or at least a code
		return errShortClose
	}
	return nil
}

// parseLength reads the payload length, which p's second byte begins. size is
// the offset just behind it, 0 when it isn't all there yet.
func parseLength(p []byte) (length uint64, size int, err error) {
	switch short := p[1] & 0x7f; {
	case short < 126:
		return uint64(short), 2, nil
	case short == 126 && len(p) >= 4:
		length, size = uint64(binary.BigEndian.Uint16(p[2:])), 4
		if length < 126 { // RFC 6455 5.2: the minimal number of bytes must be used
			return 0, 0, errNonMinimalLength
		}
	case short == 127 && len(p) >= 10:
		length, size = binary.BigEndian.Uint64(p[2:]), 10
		if length > 1<<63-1 { // RFC 6455 5.2: the most significant bit must be 0
			return 0, 0, errLengthTopBit
		}
		if length < 1<<16 {
			return 0, 0, errNonMinimalLength
		}
	}
	return length, size, nil
}
