package eventloop

import (
	"math"

	"github.com/busbar-ws/busbar/eventloop/internal/delivery"
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

// Deflate compresses a frame that is about to be owed to clients one by one (Client.Send,
// SendPage, GoLive, ReleaseSubscription), if any client could read that. Publish does it by
// itself. It may take a millisecond for each 200 KiB, so it isn't for an event loop, unless
// the frame is small. It returns f.
func (e *Engine) Deflate(f *Frame) *Frame {
	e.deflation.Deflate(f)
	return f
}

// deflateOnLoop is how long a frame may be that an event loop compresses: some 80 µs.
const deflateOnLoop = 16 << 10

// Deflates is true when the client may be sent compressed messages.
func (c *Client) Deflates() bool { return c.is(flagDeflate) }

// inflateTo bounds what a client's compressed message may grow to, in bytes.
func (o *Options) inflateTo() int {
	if o.Compression == CompressOut {
		return InflateOut
	}
	return math.MaxInt // MaxMessageIn is the bound
}

// form is how the client is sent messages.
func (c *Client) form() delivery.Form {
	if c.is(flagDeflate) {
		return delivery.Deflated
	}
	return delivery.AsIs
}
