package main

import "encoding/binary"

// maxHeader is the longest header in bytes of a frame that a server sends (RFC 6455, 5.2).
const maxHeader = 10

// appendFrame appends payload to b as one final, unmasked binary frame (RFC 6455, 5.2).
func appendFrame(b, payload []byte) []byte {
	const finBinary = 0x82
	b = append(b, finBinary)
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n <= 0xFFFF:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}
