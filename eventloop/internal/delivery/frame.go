// Package delivery is the data path's memory: frames, the broadcast log, batches of it, and what clients
// are owed beside it. It is pure: it says which bytes come next, and is told how many of them went.
package delivery

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop/internal/budget"
	"github.com/busbar-ws/busbar/wsproto"
)

// Frame is one encoded WebSocket message. It is immutable from the moment it is handed to an Engine, and
// that Engine's from there on: every socket of it shares its bytes.
type Frame struct {
	wire []byte // header and payload
	twin []byte // the same compressed, or nil: it is shorter, and for clients that negotiated it

	decided   sync.Once     // whether there is a twin
	published atomic.Uint32 // see Publish; here it fills a gap

	// Seq is the sequence number of a change event, 0 for everything else. A client that is catching up
	// from the change log uses it to take each event once.
	Seq   uint64
	after atomic.Uint64 // the newest Seq when a frame without one was published: its place among them
	// Row is the place of a row's frame among those of the row, nil when there is no such order.
	Row *RowPlace
	// Lossy frames are the first to go when a mailbox is full.
	Lossy bool
	Kind  Kind

	counted atomic.Bool // the budget knows of it
}

// RowPlace is where a frame stands among those of a row, and its stored snapshots. See Client.ReleaseSubscription.
type RowPlace struct {
	Row      string
	Version  uint64 // rises with each frame of the row
	Snapshot bool   // the frame has all that those with lower versions have
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

// Size is the number of bytes that the frame takes on the wire, uncompressed.
func (f *Frame) Size() int { return len(f.wire) }

// frameBytes is what a frame takes beside its bytes: itself, and its place in a broadcast log or mailbox.
const frameBytes = 160

// Footprint is how many bytes of memory the frame takes, its compressed form apart.
func (f *Frame) Footprint() int64 { return int64(frameBytes + cap(f.wire)) }

// Count has a budget know of the frame, the first time, until the collector frees it.
func (f *Frame) Count(b *budget.Budget) {
	if !f.counted.Load() && f.counted.CompareAndSwap(false, true) {
		budget.Track(b, f, f.Footprint())
	}
}

// Publish notes when the frame was handed to its engine first. Moment is by the engine's clock.
func (f *Frame) Publish(at Moment) { f.published.CompareAndSwap(0, uint32(max(at, 1))) }

// Published is what Publish has noted.
func (f *Frame) Published() Moment { return Moment(f.published.Load()) }

// Moment is a time in units of ten microseconds since its clock began, which wraps after twelve hours.
type Moment uint32

const momentUnit = 10 * time.Microsecond

// MomentOf is the moment so long after the clock began.
func MomentOf(d time.Duration) Moment { return Moment(d / momentUnit) }

// Since is how long a moment is behind another, which is at most six hours away.
func (m Moment) Since(o Moment) time.Duration { return time.Duration(int32(m-o)) * momentUnit }

// PlaceAmong notes behind which event a frame that isn't one is published, for clients that catch up, or
// that this is the newest event.
func (f *Frame) PlaceAmong(newest *atomic.Uint64) {
	if f.Seq == 0 {
		raise(&f.after, newest.Load())
		return
	}
	raise(newest, f.Seq)
}

func raise(a *atomic.Uint64, to uint64) {
	for now := a.Load(); now < to && !a.CompareAndSwap(now, to); now = a.Load() {
	}
}

// Form is how a client is sent messages. The zero value is as they are.
type Form uint8

const (
	AsIs     Form = iota
	Deflated      // frames that have a twin as that, the others plain
	forms
)

// In is the frame's bytes in a form.
func (f *Frame) In(as Form) []byte {
	if as == Deflated && f.twin != nil {
		return f.twin
	}
	return f.wire
}

// seal leaves a frame without a twin, if nobody has made it one. It is called by whatever takes a frame
// into a loop: one that went out plain to some must never become another, for a client's place in a stream
// is counted in bytes.
func (f *Frame) seal() { f.decided.Do(nothing) }

func nothing() {}

// Deflation makes frames' compressed twins. Threshold and Budget are set before it is used; it is safe
// from any goroutine.
type Deflation struct {
	Threshold int // the shortest payload that is compressed
	Budget    *budget.Budget

	Readers atomic.Int64 // open clients that may be sent compressed messages
	Compressed[atomic.Uint64]
}

// Compressed counts what was compressed since the start.
type Compressed[T any] struct {
	Deflated     T `json:"deflated"`      // messages, once each
	DeflatedFrom T `json:"deflated_from"` // their bytes
	DeflatedTo   T `json:"deflated_to"`   // their bytes, compressed
}

// Deflate compresses a frame, if somebody can read that and it wasn't sealed before.
func (d *Deflation) Deflate(f *Frame) {
	if d.Readers.Load() > 0 {
		f.decided.Do(func() { d.pair(f) })
	}
}

func (d *Deflation) pair(f *Frame) {
	payload := f.Payload()
	if len(payload) < d.Threshold {
		return
	}
	if f.twin = wsproto.DeflateFrame(ws.OpCode(f.wire[0]&0x0f), payload); f.twin == nil {
		return
	}
	budget.Track(d.Budget, f, int64(cap(f.twin)))
	d.Deflated.Add(1)
	d.DeflatedFrom.Add(uint64(len(f.wire)))
	d.DeflatedTo.Add(uint64(len(f.twin)))
}
