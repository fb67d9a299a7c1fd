package eventloop

import (
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"runtime"
	"time"

	"github.com/busbar-ws/busbar/internal/memory"
	"github.com/busbar-ws/busbar/internal/rates"
	"github.com/busbar-ws/busbar/subs"
)

// SlowPolicy is what happens to a client that has fallen too far behind.
type SlowPolicy uint8

// The policies. Disconnect is the default.
const (
	Disconnect SlowPolicy = iota // the connection ends
	DropOldest                   // the oldest messages are lost, the client is told
	CatchUp                      // events are let go of, and given from the change log once the client reads; as DropOldest with the rest
)

// Options configure an Engine. Zero fields take the defaults named beside them; "off"
// is written as a negative number where zero is a default.
type Options struct {
	Listen string // host:port; port 0 takes any free one. Default ":4322"
	Loops  int    // event loops; default runtime.GOMAXPROCS, at most subs.MaxLoops

	// Node is this process's number among those whose clients' ids mustn't be the same: 0 to 255.
	Node int

	Accept   AcceptOptions
	Memory   MemoryOptions
	Slow     SlowOptions
	Timeouts Timeouts

	MaxMessageIn int // bytes of a client's message, uncompressed; default 64 KiB

	Compression Compression // default CompressOff
	// CompressionThreshold is the shortest payload, in bytes, that is sent compressed.
	// Default DefaultCompressionThreshold.
	CompressionThreshold int

	// Rates is how much clients may send. The zero value limits nothing; Rates.Address
	// counts only while Accept.MaxPerAddress is on, because otherwise addresses are a proxy's.
	Rates rates.Limits
	// RateKey says whose account a client also draws on (empty: none), and whether there are
	// limits for it at all. It is called on the client's loop, once the client is open. Nil:
	// no accounts but addresses'.
	RateKey func(c *Client) (user string, metered bool)

	// FlushDelay keeps a loop's flushes so far apart: a message that comes sooner after the
	// one before it waits, and goes out with what else comes meanwhile. It saves CPU at high
	// rates. Default 0, at most 1 s.
	FlushDelay time.Duration

	// LastSeq is the newest sequence number of change events from before the start.
	LastSeq uint64

	SendBuffer int // SO_SNDBUF of each socket in bytes; 0 leaves it to the kernel
	// NotSentLowat is how many bytes that aren't sent yet the kernel takes for a socket (TCP_NOTSENT_LOWAT).
	// What is more waits here, once for all who are owed it, and counts to Slow.LagBytes. Default 512 KiB,
	// negative: off.
	NotSentLowat int

	Log *slog.Logger // default slog.Default
}

// AcceptOptions are who may connect, how many, and how fast.
type AcceptOptions struct {
	// MaxConnections bounds open descriptors of clients; default and upper bound is
	// what RLIMIT_NOFILE allows less Reserve.
	MaxConnections int
	// Reserve is how many descriptors are kept for everything else in the process.
	// Default 64. Too small a reserve lets accept fail, which ends the engine.
	Reserve int
	// MaxPerAddress bounds concurrent connections from one address; default 64, negative: off.
	MaxPerAddress int
	// MaxHandshakes bounds each loop's connections that haven't been upgraded yet, those that
	// are being authorised included; further ones wait in the kernel's queue. Default 2,048.
	MaxHandshakes int
	// Rate is how many connections a second a loop accepts, Burst how many at once,
	// while it has more to send than it gets done (for 5 ms); further ones wait in the kernel's
	// queue. Else it accepts all. Defaults 2,000 and 200; a negative rate: no limit.
	Rate, Burst int

	// ProxyProtocol takes clients' addresses from the proxies in TrustedProxies. Default off.
	ProxyProtocol ProxyProtocol
	// TrustedProxies are the addresses that proxies connect from. They may claim any address
	// for their clients, so nobody else must be able to connect from there.
	TrustedProxies []netip.Prefix
}

// MemoryOptions bound what waits in memory.
type MemoryOptions struct {
	QueueMessages int // frames in a loop's mailbox; default 1024
	QueueBytes    int // bytes in a loop's mailbox; default 64 MiB, or an eighth of the memory where that is less

	// BufferBytes bounds all that is buffered for clients and from them, together: messages
	// in mailboxes, for clients that are behind and for subscriptions that are being decided
	// about, messages from clients that haven't come whole, and requests to be upgraded. From
	// seven eighths on the clients that take most of it are let go; when that isn't enough
	// newcomers are refused; at the bound messages are dropped. Go's garbage comes on top.
	// Default: a quarter of the memory, which is the host's, or the control group's limit where that
	// is less. At least twice what QueueBytes and Slow.LagBytes are; negative: no bound.
	BufferBytes int
	// KeptElsewhere is how many bytes of published frames (Frame.Footprint) are kept under a bound of
	// their own, such as a log's. They don't count to BufferBytes while they are. It is called often,
	// from any goroutine. Nil: none.
	KeptElsewhere func() int64
}

// SlowOptions are when a client has fallen too far behind, and what happens then.
type SlowOptions struct {
	Policy   SlowPolicy
	LagTime  time.Duration // in which the peer of a client that is behind acknowledges nothing; default 5 s
	LagBytes int           // that wait beside the message in progress and the largest of the others; default 5 MiB, less where there is little memory
}

// Timeouts are how long a client may say nothing.
type Timeouts struct {
	Handshake    time.Duration // until it is upgraded; default 10 s
	PingInterval time.Duration // of silence before a ping; default 25 s
	Pong         time.Duration // after it; default 10 s
}

// checkBuffers names the option that was set. Defaults fit one another.
func (o *Options) checkBuffers(set bool) error {
	name, bytes := "queue bytes", o.Memory.QueueBytes
	if o.Slow.LagBytes > o.Memory.QueueBytes {
		name, bytes = "lag bytes", o.Slow.LagBytes
	}
	switch {
	case o.Memory.BufferBytes < 0 || o.Memory.BufferBytes >= o.LeastBufferBytes():
		return nil
	case set:
		return fmt.Errorf("buffer bytes: %d is less than twice the %s, %d", o.Memory.BufferBytes, name, bytes)
	default:
		return fmt.Errorf("%s: %d is more than %d, half of what may be buffered in all, which is a quarter of the memory by default",
			name, bytes, o.Memory.BufferBytes/2)
	}
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// DefaultOptions are what New goes by where fields are zero, but for Log.
func DefaultOptions() Options {
	var o Options
	o.setDefaults()
	return o
}

func (o *Options) setDefaults() {
	orDefault(&o.Listen, ":4322")
	orDefault(&o.Loops, min(runtime.GOMAXPROCS(0), subs.MaxLoops))
	orDefault(&o.Accept.Reserve, 64)
	orDefault(&o.Accept.MaxPerAddress, 64)
	orDefault(&o.Accept.Rate, 2000)
	orDefault(&o.Accept.Burst, 200)
	orDefault(&o.Accept.MaxHandshakes, 2048)
	orDefault(&o.MaxMessageIn, 64<<10)
	orDefault(&o.CompressionThreshold, DefaultCompressionThreshold)
	orDefault(&o.Memory.QueueMessages, 1024)
	orDefault(&o.Memory.QueueBytes, memory.Defaults().Queue)
	orDefault(&o.Slow.LagTime, 5*time.Second)
	orDefault(&o.Slow.LagBytes, memory.Defaults().Lag)
	orDefault(&o.Memory.BufferBytes, memory.Defaults().Buffers)
	orDefault(&o.NotSentLowat, 512<<10)
	orDefault(&o.Timeouts.Handshake, 10*time.Second)
	orDefault(&o.Timeouts.PingInterval, 25*time.Second)
	orDefault(&o.Timeouts.Pong, 10*time.Second)
}

func (o *Options) validate(buffersSet bool) error {
	switch {
	case o.Node < 0 || o.Node >= maxNodes:
		return fmt.Errorf("node: %d isn't between 0 and %d", o.Node, maxNodes-1)
	case o.Loops < 1 || o.Loops > subs.MaxLoops:
		return fmt.Errorf("loops: %d isn't between 1 and %d", o.Loops, subs.MaxLoops)
	case o.Accept.MaxConnections < 0:
		return fmt.Errorf("max connections: %d is negative", o.Accept.MaxConnections)
	case o.Accept.Burst < 1 || o.Accept.MaxHandshakes < 1:
		return fmt.Errorf("accept burst: %d, max handshakes: %d: both must be at least 1", o.Accept.Burst, o.Accept.MaxHandshakes)
	case o.MaxMessageIn < 125:
		return fmt.Errorf("max message in: %d bytes is less than a control frame may carry, 125", o.MaxMessageIn)
	case o.Compression > CompressOn || o.CompressionThreshold < 1:
		return fmt.Errorf("compression: %d isn't one of the ways, or its threshold of %d bytes isn't at least 1", o.Compression, o.CompressionThreshold)
	case o.Memory.QueueMessages < 1 || o.Memory.QueueBytes < 1:
		return fmt.Errorf("queue: %d messages, %d bytes: both must be at least 1", o.Memory.QueueMessages, o.Memory.QueueBytes)
	case o.Slow.LagBytes < 1 || o.Slow.LagTime < tick:
		return fmt.Errorf("lag: %d bytes, %v: at least 1 and %v", o.Slow.LagBytes, o.Slow.LagTime, tick)
	case o.FlushDelay < 0 || o.FlushDelay > time.Second:
		return fmt.Errorf("flush delay: %v isn't between 0 and 1s", o.FlushDelay)
	case o.Timeouts.PingInterval < tick || o.Timeouts.Pong < tick || o.Timeouts.Handshake < tick:
		return fmt.Errorf("ping interval, pong timeout and handshake timeout must be at least %v", tick)
	}
	return o.checkBuffers(buffersSet)
}

// LeastBufferBytes is the least that BufferBytes may be: one loop's full mailbox, or one
// client that lags as far as it may, must not make the server short of memory.
func (o *Options) LeastBufferBytes() int {
	return 2 * min(max(o.Memory.QueueBytes, o.Slow.LagBytes), math.MaxInt/2)
}
