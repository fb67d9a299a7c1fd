package conformance

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Opcodes of RFC 6455 5.2.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xa
)

// Bits of a frame's first byte (RFC 6455 5.2).
const (
	fin  = 0x80
	rsv1 = 0x40
	rsv2 = 0x20
	rsv3 = 0x10
)

// raw is a client's frame whose first byte is b0: anything that can be said in a header of
// the shortest form.
func raw(b0 byte, payload string) string {
	return header(b0, len(payload)) + masked(payload, mask)
}

// mask is the one of RFC 6455 5.7.
const mask = "\x37\xfa\x21\x3d"

// header is a client's frame header with the shortest form of the length, mask included.
func header(b0 byte, length int) string {
	switch {
	case length < 126:
		return string([]byte{b0, 0x80 | byte(length)}) + mask
	case length < 1<<16:
		return string(binary.BigEndian.AppendUint16([]byte{b0, 0x80 | 126}, uint16(length))) + mask
	}
	return longHeader(b0, uint64(length))
}

// mediumHeader and longHeader use more bytes for the length than it may need.
func mediumHeader(b0 byte, length uint16) string {
	return string(binary.BigEndian.AppendUint16([]byte{b0, 0x80 | 126}, length)) + mask
}

func longHeader(b0 byte, length uint64) string {
	return string(binary.BigEndian.AppendUint64([]byte{b0, 0x80 | 127}, length)) + mask
}

func masked(payload, mask string) string {
	b := []byte(payload)
	for i := range b {
		b[i] ^= mask[i%4]
	}
	return string(b)
}

// Whole frames of a client.
func text(payload string) string { return raw(fin|opText, payload) }
func data(payload string) string { return raw(fin|opBinary, payload) }
func ping(payload string) string { return raw(fin|opPing, payload) }
func pong(payload string) string { return raw(fin|opPong, payload) }

// Frames of a fragmented message: first, more, last.
func first(op byte, payload string) string { return raw(op, payload) }
func more(payload string) string           { return raw(opContinuation, payload) }
func last(payload string) string           { return raw(fin|opContinuation, payload) }

func closing(code int, reason string) string { return raw(fin|opClose, closePayload(code, reason)) }

func closePayload(code int, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(code))) + reason
}

// frame is one frame of the server's.
type frame struct {
	op         byte
	payload    string // inflated
	compressed bool   // RSV1 was set
}

func (f frame) String() string {
	payload := f.payload
	if len(payload) > 60 {
		payload = fmt.Sprintf("%s… (%d bytes)", payload[:60], len(payload))
	}
	return fmt.Sprintf("%x %q", f.op, payload)
}

// readFrame reads a server's frame and demands of it all that RFC 6455 5 demands of any,
// and that it isn't fragmented, which this server never does.
func readFrame(r *bufio.Reader, compression bool) (frame, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	f := frame{op: head[0] & 0x0f, compressed: head[0]&rsv1 != 0}
	length, err := readLength(r, head[1])
	switch {
	case err != nil:
		return frame{}, err
	case head[0]&fin == 0:
		return frame{}, fmt.Errorf("opcode %x is fragmented", f.op)
	case head[0]&(rsv2|rsv3) != 0 || f.compressed && (!compression || f.op >= opClose): // 5.2, RFC 7692 6.1
		return frame{}, fmt.Errorf("reserved bits in %x", head[0])
	case f.op == opContinuation || !strings.ContainsRune("\x01\x02\x08\x09\x0a", rune(f.op)): // 5.2, 5.4
		return frame{}, fmt.Errorf("opcode %x", f.op)
	case f.op >= opClose && length > 125: // 5.5
		return frame{}, fmt.Errorf("control frame of %d bytes", length)
	case length > 64<<20:
		return frame{}, fmt.Errorf("%d bytes", length)
	}
	payload := make([]byte, length)
	if _, err := io.ReadFull(r, payload); err != nil {
		return frame{}, fmt.Errorf("in a payload of %d bytes: %w", length, err)
	}
	f.payload = string(payload)
	return f, f.judge()
}

func readLength(r *bufio.Reader, second byte) (length uint64, err error) {
	if second&0x80 != 0 { // 5.1
		return 0, fmt.Errorf("a server's frame is masked")
	}
	least := uint64(0)
	switch second {
	case 126:
		var two [2]byte
		_, err = io.ReadFull(r, two[:])
		length, least = uint64(binary.BigEndian.Uint16(two[:])), 126
	case 127:
		var eight [8]byte
		_, err = io.ReadFull(r, eight[:])
		length, least = binary.BigEndian.Uint64(eight[:]), 1<<16
	default:
		length = uint64(second)
	}
	if err == nil && length < least { // 5.2
		err = fmt.Errorf("%d bytes aren't the shortest form of %d", second, length)
	}
	return length, err
}

// judge looks at the payload; one that is compressed is looked at when it is inflated.
func (f *frame) judge() error {
	if f.compressed {
		payload, err := inflate(f.payload)
		if err != nil {
			return fmt.Errorf("inflating %d bytes: %w", len(f.payload), err)
		}
		f.payload = payload
	}
	switch {
	case f.op == opText && !utf8.ValidString(f.payload): // 8.1
		return fmt.Errorf("text that isn't UTF-8: %q", f.payload)
	case f.op == opClose && len(f.payload) == 1: // 5.5.1
		return fmt.Errorf("close payload of one byte")
	case f.op == opClose && len(f.payload) > 2 && !utf8.ValidString(f.payload[2:]):
		return fmt.Errorf("close reason that isn't UTF-8: %q", f.payload)
	}
	return nil
}

// code is a Close frame's, 1005 when it has none (RFC 6455 7.1.5).
func (f frame) code() int {
	if len(f.payload) < 2 {
		return 1005
	}
	return int(binary.BigEndian.Uint16([]byte(f.payload)))
}
