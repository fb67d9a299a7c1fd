package eventloop

import (
	"math"
	"sync/atomic"

	"github.com/busbar-ws/busbar/eventloop/internal/budget"
	"github.com/busbar-ws/busbar/wsproto"
)

// Compression is what is done about permessage-deflate (RFC 7692), for clients that offer it.
type Compression uint8

// The ways to compress. RFC 7692 can't be negotiated for one direction alone: who is sent
// compressed messages may send some too, and browsers do. So CompressOut takes them, but
// bounds what they cost: inflated they may have 4 KiB, or the connection ends with 1009.
const (
	CompressOff Compression = iota // the extension is declined
	CompressOut                    // what is sent; what comes is inflated to InflateOut bytes
	CompressOn                     // both ways; what comes is inflated to MaxMessageIn bytes
)

// InflateOut is how many bytes a client's compressed message may have under CompressOut:
// ample for subscribing and presence.
const InflateOut = 4 << 10

// DefaultCompressionThreshold is the shortest payload, in bytes, that is compressed unless
// Options say otherwise. Change events of 256 bytes shrink by a quarter, shorter ones by
// little or nothing (docs/performance.md, compression).
const DefaultCompressionThreshold = 256

// deflation is what the loops share of compression. Safe from any goroutine.
type deflation struct {
	clients   atomic.Int64 // open, and may be sent compressed messages
	threshold int
	budget    *budget.Budget
	frames    atomic.Uint64 // that got a twin
	before    atomic.Uint64 // their bytes
	after     atomic.Uint64 // their twins' bytes
}

// Deflate compresses a frame that is about to be owed to clients one by one (Client.Send,
// SendPage, GoLive, ReleaseSubscription), if any client could read that. Publish does it by
// itself. It may take a millisecond for each 200 KiB, so it isn't for an event loop, unless
// the frame is small. It returns f.
func (e *Engine) Deflate(f *Frame) *Frame {
	if e.deflation.clients.Load() > 0 {
		f.decide(&e.deflation)
	}
	return f
}

// decide makes the frame's compressed twin, the first time that it is called for the frame.
// From then on the frame doesn't change: a client's place in a stream is counted in bytes.
func (f *Frame) decide(d *deflation) {
	f.decided.Do(func() {
		payload := f.Payload()
		if len(payload) < d.threshold {
			return
		}
		if f.twin = wsproto.DeflateFrame(f.opcode(), payload); f.twin == nil {
			return
		}
		budget.Track(d.budget, f, int64(cap(f.twin)))
		d.frames.Add(1)
		d.before.Add(uint64(len(f.wire)))
		d.after.Add(uint64(len(f.twin)))
	})
}

// seal leaves a frame without a twin, if nobody has made it one. It is called by whatever
// takes a frame into a loop: one that went out plain to some must never become another.
func (f *Frame) seal() { f.decided.Do(nothing) }

func nothing() {}

// deflateOnLoop is how long a frame may be that an event loop compresses: some 80 µs.
const deflateOnLoop = 16 << 10

// Deflates is true when the client may be sent compressed messages.
func (c *Client) Deflates() bool { return c.is(flagDeflate) }

// countDeflating is called when an open client has come (1) or left (-1).
func (l *Loop) countDeflating(c *Client, n int64) {
	if c.is(flagDeflate) {
		l.counters.deflating.Add(n)
		l.engine.deflation.clients.Add(n)
	}
}

// inflateTo bounds what a client's compressed message may grow to, in bytes.
func (o *Options) inflateTo() int {
	if o.Compression == CompressOut {
		return InflateOut
	}
	return math.MaxInt // MaxMessageIn is the bound
}

// form is how a client is sent messages.
type form uint8

const (
	asIs     form = iota
	deflated      // frames that have a twin as that, the others plain
	forms
)

func (c *Client) form() form {
	if c.is(flagDeflate) {
		return deflated
	}
	return asIs
}

// in is the frame's bytes in a form.
func (f *Frame) in(as form) []byte {
	if as == deflated && f.twin != nil {
		return f.twin
	}
	return f.wire
}
