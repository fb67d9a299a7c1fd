package eventloop

import (
	"sync"
	"sync/atomic"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop/internal/budget"
	"github.com/busbar-ws/busbar/wsproto"
)

// Frame is one encoded WebSocket message. It is immutable from the moment it is
// handed to an Engine, and that Engine's from there on: every socket of it shares its bytes.
type Frame struct {
	wire []byte // header and payload
	twin []byte // the same compressed, or nil: it is shorter, and for clients that negotiated it

	decided sync.Once // whether there is a twin; see decide

	// Seq is the sequence number of a change event, 0 for everything else. A client
	// that is catching up from the change log uses it to take each event once.
	Seq   uint64
	after atomic.Uint64 // the newest Seq when a frame without one was published: its place among them
	// Version orders the frames of one row against its stored snapshot, 0 when
	// there is no such order. See Client.ReleaseSubscription.
	Version uint64
	// Lossy frames are the first to go when a mailbox is full.
	Lossy bool

	counted atomic.Bool // the budget knows of it
}

// frameBytes is what a frame takes beside its bytes: itself, and its place in a broadcast log or mailbox.
const frameBytes = 160

// Footprint is how many bytes of memory the frame takes, its compressed form apart.
func (f *Frame) Footprint() int64 { return int64(frameBytes + cap(f.wire)) }

// Count has the budget know of a frame, the first time that the engine is handed it, until the
// collector frees it. Whatever takes a frame does that; it is for one that isn't handed over yet.
func (e *Engine) Count(f *Frame) {
	if !f.counted.Load() && f.counted.CompareAndSwap(false, true) {
		budget.Track(e.budget, f, f.Footprint())
	}
}

// NewFrame encodes one whole message. payload is copied.
func NewFrame(op ws.OpCode, payload []byte) *Frame {
	wire := make([]byte, 0, wsproto.HeaderSize(len(payload))+len(payload))
	return &Frame{wire: wsproto.AppendFrame(wire, op, payload)}
}

// FrameOf is a frame made of bytes that Wire returned, which it shares.
func FrameOf(wire []byte) *Frame { return &Frame{wire: wire} }

// Wire is the frame's bytes, header included. They must not be changed.
func (f *Frame) Wire() []byte { return f.wire }

// Payload is the message in the frame. It must not be changed.
func (f *Frame) Payload() []byte {
	// A server's frame has two bytes of header, and the longer forms of the length
	// behind them (RFC 6455 5.2).
	switch f.wire[1] {
	case 126:
		return f.wire[4:]
	case 127:
		return f.wire[10:]
	}
	return f.wire[2:]
}

func (f *Frame) opcode() ws.OpCode { return ws.OpCode(f.wire[0] & 0x0f) }

// Size is the number of bytes that the frame takes on the wire, uncompressed.
func (f *Frame) Size() int { return len(f.wire) }
