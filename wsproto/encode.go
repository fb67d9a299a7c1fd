package wsproto

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

const finBit = 0x80

// HeaderSize is how many bytes AppendHeader appends for a payload of length
// bytes: 2, 4 or 10.
func HeaderSize(length int) int {
	switch {
	case length < 126:
		return 2
	case length < 1<<16:
		return 4
	}
	return 10
}

// AppendHeader appends the header of an unfragmented server frame whose payload
// has length bytes, and returns the extended dst. A negative length counts
// as 0. The caller keeps the limits of RFC 6455 5.5 on control frames.
func AppendHeader(dst []byte, op ws.OpCode, length int) []byte {
	length = max(length, 0)
	dst = append(dst, finBit|byte(op))
	// RFC 6455 5.2: the shortest form; 5.1: a server doesn't mask.
	switch HeaderSize(length) {
	case 2:
		return append(dst, byte(length))
	case 4:
		return binary.BigEndian.AppendUint16(append(dst, 126), uint16(length))
	}
	return binary.BigEndian.AppendUint64(append(dst, 127), uint64(length))
}

// AppendFrame appends an unfragmented server frame to dst and returns the
// extended dst. It doesn't keep payload.
func AppendFrame(dst []byte, op ws.OpCode, payload []byte) []byte {
	return append(AppendHeader(dst, op, len(payload)), payload...)
}

// AppendClose appends a Close frame to dst and returns the extended dst. The
// reason is cut before the rune that makes it too long for a control frame, or
// that isn't UTF-8. A code that is not ValidOnWire, such as 1005, makes a Close
// frame without a payload (RFC 6455 7.4.1).
func AppendClose(dst []byte, code ws.StatusCode, reason string) []byte {
	if !ValidOnWire(code) {
		return AppendHeader(dst, ws.OpClose, 0)
	}
	reason = cutReason(reason)
	dst = AppendHeader(dst, ws.OpClose, 2+len(reason))
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	return append(dst, reason...)
}

func cutReason(reason string) string {
	const most = maxControl - 2 // the code takes two bytes
	end := 0
	for end < len(reason) {
		r, size := utf8.DecodeRuneInString(reason[end:])
		if end+size > most || r == utf8.RuneError && size == 1 {
			break
		}
		end += size
	}
	return reason[:end]
}
