package bench

import (
	"bytes"
	"encoding/binary"
)

// Row frames (docs/protocol.md section 3) as the bench uses them: one entity, and ids of eight digits.
const (
	rowSnapshot = 0x10
	rowUpdate   = 0x11

	rowEntity   = "Item"
	rowDigits   = 8
	rowHeadSize = 1 + 2 + len(rowEntity) + 2 + rowDigits
)

// rowNames is what stands in a row frame between its type and the row's digits.
var rowNames = append(append([]byte{0, byte(len(rowEntity))}, rowEntity...), 0, rowDigits)

func appendRowID(b []byte, row uint64) []byte {
	for unit := uint64(maxRows / 10); unit > 0; unit /= 10 {
		b = append(b, byte('0'+row/unit%10))
	}
	return b
}

// appendRowHead appends a row frame without payload.
func appendRowHead(b []byte, kind byte, row uint64) []byte {
	return appendRowID(append(append(b, kind), rowNames...), row)
}

// readRowHead reads a row frame; ok is false when it is none of the bench's.
func readRowHead(b []byte) (kind byte, row uint64, ok bool) {
	if len(b) < rowHeadSize || !bytes.HasPrefix(b[1:], rowNames) {
		return 0, 0, false
	}
	for _, digit := range b[rowHeadSize-rowDigits : rowHeadSize] {
		if digit < '0' || digit > '9' {
			return 0, 0, false
		}
		row = 10*row + uint64(digit-'0')
	}
	return b[0], row, true
}

// appendSubscribe appends a client's message that subscribes it to a row (docs/protocol.md section 2).
func appendSubscribe(b []byte, row uint64) []byte {
	const text = `{"type":"crdt-subscribe","entity":"` + rowEntity + `","rowId":"`
	b = appendClientHeader(b, opText, len(text)+rowDigits+2)
	return append(appendRowID(append(b, text...), row), '"', '}')
}

// appendClientHeader appends the header of a client's frame of less than 64 KiB. Clients
// must mask (RFC 6455 5.3); a key of zeros is a mask that costs nothing.
func appendClientHeader(b []byte, op byte, size int) []byte {
	b = append(b, 0x80|op)
	if size <= 125 {
		return append(b, 0x80|byte(size), 0, 0, 0, 0)
	}
	b = append(b, 0x80|126)
	return append(binary.BigEndian.AppendUint16(b, uint16(size)), 0, 0, 0, 0)
}
