package wsproto

import (
	"errors"
	"sync"

	"github.com/gobwas/ws"
	"github.com/klauspost/compress/flate"
)

const rsv1Bit = 0x40 // RFC 7692 6: the message is compressed

// deflateLevel is a compromise between CPU and size: docs/performance.md, compression.
const deflateLevel = 3

// A flush ends in an empty block without compression, whose last four bytes don't go out:
// RFC 7692 7.2.1.
const deflateTail = "\x00\x00\xff\xff"

var errNotSmaller = errors.New("compressed data is no smaller")

// deflater compresses one message at a time, without what came before it. It is owned by
// one call of AppendDeflated, and pooled: its tables take a few hundred KiB.
type deflater struct {
	w    *flate.Writer
	out  []byte
	room int // what is compressed has to be shorter
}

var deflaters = sync.Pool{New: func() any {
	d := new(deflater)
	d.w, _ = flate.NewWriter(d, deflateLevel) // fails for a level that doesn't exist
	return d
}}

// Write takes what is compressed, and fails when there is no point in going on.
func (d *deflater) Write(p []byte) (int, error) {
	if len(d.out)+len(p) >= d.room+len(deflateTail) {
		return 0, errNotSmaller
	}
	d.out = append(d.out, p...)
	return len(p), nil
}

// DeflateFrame is an unfragmented, compressed server frame (RFC 7692 7.2.1), readable by
// any client that permessage-deflate was negotiated with and needing nothing of any message
// before it. nil if it wouldn't be smaller than AppendFrame's. It doesn't keep payload; the
// result is the caller's.
func DeflateFrame(op ws.OpCode, payload []byte) []byte {
	d := deflaters.Get().(*deflater)
	defer d.free()
	d.room = len(payload)
	d.w.Reset(d)
	if _, err := d.w.Write(payload); err != nil {
		return nil
	}
	if err := d.w.Flush(); err != nil {
		return nil
	}
	packed := d.out[:len(d.out)-len(deflateTail)]
	wire := make([]byte, 0, HeaderSize(len(packed))+len(packed))
	wire = append(AppendHeader(wire, op, len(packed)), packed...)
	wire[0] |= rsv1Bit
	return wire
}

// free keeps no more than most messages need: one of 16 MiB mustn't stay for good.
func (d *deflater) free() {
	const keep = 256 << 10
	if d.out = d.out[:0]; cap(d.out) > keep {
		d.out = nil
	}
	deflaters.Put(d)
}
