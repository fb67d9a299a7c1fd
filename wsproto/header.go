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
	opcode ws.OpCode
	fin    bool
	length int
	mask   [4]byte
}

// parseHeader reads a header from the front of p. size is 0 when p holds only
// the beginning of one. inMessage says that a fragmented message has begun;
// room is how many payload bytes a data frame may still bring.
//
// Each byte is judged when it is there and in the order of the wire, so that the
// verdict on a stream doesn't depend on how it was cut.
func parseHeader(p []byte, inMessage bool, room int) (h header, size int, err error) {
	if len(p) == 0 {
		return h, 0, nil
	}
	h.opcode, h.fin = ws.OpCode(p[0]&0x0f), p[0]&0x80 != 0
	if err = checkFirstByte(p[0], inMessage); err != nil || len(p) == 1 {
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

func checkFirstByte(b byte, inMessage bool) error {
	opcode, fin := ws.OpCode(b&0x0f), b&0x80 != 0
	switch {
	case b&0x70 != 0: // RFC 6455 5.2: RSV1-3 must be 0 unless an extension was negotiated
		return errReservedBits
	case opcode.IsReserved(): // RFC 6455 5.2: 3-7 and 11-15 fail the connection
		return errReservedOpcode
	case opcode.IsControl() && !fin: // RFC 6455 5.5
		return errFragmentedControl
	case opcode == ws.OpContinuation && !inMessage: // RFC 6455 5.4
		return errStrayContinuation
	case (opcode == ws.OpText || opcode == ws.OpBinary) && inMessage: // RFC 6455 5.4: messages don't interleave
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
