package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub/internal/origins"
	"github.com/busbar-ws/busbar/internal/memory"
)

// SnapshotFetcher decides whether id may read a row and supplies the row's current
// payload (without a row frame's header) in one call. ok is false when it may not, or
// when there is no such row: clients can't tell which. It may take its time, never runs
// on an event loop, and is called from several goroutines at once. payload becomes the
// hub's. HoldFetched counts the memory that reading it takes.
type SnapshotFetcher func(ctx context.Context, id *Identity, entity, rowID string) (payload []byte, ok bool, err error)

// Rejection is how a client without a valid token is told.
type Rejection uint8

// The ways of rejecting. A page in a browser can read a close code, and not a status.
const (
	RejectClose Rejection = iota // complete the upgrade, then Close 1008
	RejectHTTP                   // answer 401 to the upgrade
)

// Routing is who gets topic messages and change events that name no audience.
type Routing uint8

// The routings. RouteAll is what Pylon's clients expect.
const (
	RouteAll        Routing = iota // every client
	RouteSubscribed                // who subscribed to the topic, or to the entity
)

// Relays is whom a client's presence and topic messages, and the news that it has left, reach.
type Relays uint8

// The reaches of relays. What an admin relays reaches every client unless they are off.
const (
	RelayTenant Relays = iota // the clients of its tenant; those without one are a group too
	RelayAll                  // every client, as with Pylon
	RelayOff                  // nobody: only servers publish
)

// Seqs is who numbers change events.
type Seqs uint8

// The ways of numbering.
const (
	SeqAssigned Seqs = iota // the change log
	SeqGiven                // publishers: each Change has a Seq above all before it
)

// DefaultSubscriptions is how many entities, topics and rows one connection may subscribe to.
const DefaultSubscriptions = 10_000

// Origins says which web pages may talk to this server, over the WebSocket and over HTTP alike. It is
// immutable. The zero value allows pages of the host that they call, on any port.
type Origins = origins.List

// ParseOrigins reads an allowlist. An entry is an origin ("https://app.example.com"), an origin whose host
// starts with "*." for all names below a domain, or "*" for every origin. No entries: the zero value.
// With entries, pages of the server's own host need one too.
func ParseOrigins(entries []string) (Origins, error) { return origins.Parse(entries) }

// Options configure a Hub. Zero fields take the defaults named beside them.
type Options struct {
	Loops eventloop.Options // sockets, queues, slow clients, heartbeats; its Rates and RateKey are the hub's

	// Auth turns tokens into identities. Required.
	Auth Authenticator
	// AuthTimeout bounds one lookup. It also bounds how long a client stays after its session has ended,
	// while the authenticator hasn't answered whether it was prolonged; default 5 s.
	AuthTimeout time.Duration
	Reject      Rejection
	// Origins that a browser may connect from; the zero value is the same host only.
	Origins Origins

	Rows  RowOptions
	Views ViewOptions

	// Log retains change events. Nil: NewMemoryLog(0, 0). With SeqGiven a new one begins behind 0
	// (MemoryLog.Resume).
	Log  ChangeLog
	Seqs Seqs

	// Peers carry presence, topics, binary messages and the news of who has left between nodes; nil: this
	// node is alone. Each node has its own Loops.Node, and all share one change log.
	Peers Peers

	MaxMessageOut    int // bytes of a publisher's message; default 16 MiB, or a 16th of the memory
	MaxSubscriptions int // of one connection; default DefaultSubscriptions
	Routing          Routing
	Relays           Relays
	Rates            Rates

	// Workers is how many lookups, fetches, views and reads of the log may run at once, each
	// kind apart; default 64. A quarter of the lookups, and at least one, is for sessions that have
	// ended, the rest for newcomers. With Rows.Recheck a quarter of the fetches is for rechecks.
	// WorkerQueue is how many may wait; default 100,000, or what fits
	// into a quarter of Loops.Memory.BufferBytes. They take turns by address, and of an address by user.
	Workers     int
	WorkerQueue int

	// Logger's handler is called on event loops too, and must not wait for whoever reads the log.
	// Default: slog.Default, whose handler does.
	Logger *slog.Logger
}

// RowOptions are about rows' snapshots.
type RowOptions struct {
	// Fetch decides about and supplies rows. Nil: the last snapshot published to
	// the hub, readable by every client of the row's tenant.
	Fetch   SnapshotFetcher
	Timeout time.Duration // of one fetch; default 5 s
	// Recheck is how often Fetch is asked again about each row that a client is subscribed
	// to; zero: never. When ok is false that subscription ends. An error changes nothing.
	Recheck time.Duration
	Max     int // stored snapshots when Fetch is nil; default 100,000
	// MaxBytes bounds stored snapshots; default 256 MiB, or an eighth of the memory where that is
	// less: the host's, or the control group's limit. With compression up to as much
	// again is taken by the compressed form of those that clients have asked for, and the
	// same holds for a MemoryLog.
	MaxBytes int
	Store    RowStore // keeps the same snapshots beyond the process, or with Peers for all nodes; nil: nothing does
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// DefaultOptions are what New goes by where fields are zero, but for Auth, Log and the loggers.
func DefaultOptions() Options {
	o := Options{Loops: eventloop.DefaultOptions()}
	o.setDefaults()
	return o
}

// setDefaults gives fields that are zero their defaults. Of Loops it sets Memory.QueueBytes alone.
func (o *Options) setDefaults() {
	setDefault(&o.AuthTimeout, 5*time.Second)
	setDefault(&o.Rows.Timeout, 5*time.Second)
	setDefault(&o.Views.Timeout, 10*time.Second)
	setDefault(&o.Rows.Max, 100_000)
	setDefault(&o.Rows.MaxBytes, memory.Defaults().Rows)
	setDefault(&o.MaxMessageOut, memory.Defaults().Message)
	setDefault(&o.MaxSubscriptions, DefaultSubscriptions)
	o.Rates.defaults(o.MaxSubscriptions)
	setDefault(&o.Workers, 64)
	setDefault(&o.WorkerQueue, 100_000)
	setDefault(&o.Loops.Memory.QueueBytes, max(memory.Defaults().Queue, 2*o.MaxMessageOut))
}

// ErrCatchUpRouted is returned for slow clients that are to be caught up where events go to subscribers alone: what a
// client was subscribed to isn't in the log.
var ErrCatchUpRouted = errors.New("slow clients can't be caught up with routing to subscribers")

func (o *Options) validate() error {
	switch {
	case o.Auth == nil:
		return fmt.Errorf("options: an Authenticator is required")
	case o.MaxMessageOut < 1 || o.MaxMessageOut > o.Loops.Memory.QueueBytes-frameOverhead:
		return fmt.Errorf("max message out: %d bytes don't fit a queue of %d", o.MaxMessageOut, o.Loops.Memory.QueueBytes)
	case o.Workers < 1 || o.WorkerQueue < 1 || o.MaxSubscriptions < 1:
		return fmt.Errorf("workers, their queue and subscriptions must be at least 1")
	case o.Peers != nil && o.Rows.Fetch == nil && o.Rows.Store == nil:
		return fmt.Errorf("options: with Peers rows need a Store that the nodes share, or Fetch")
	}
	if o.Routing == RouteSubscribed && o.Loops.Slow.Policy == eventloop.CatchUp {
		return ErrCatchUpRouted
	}
	return o.validateRates()
}

// frameOverhead is the most that a frame's header takes.
const frameOverhead = 10
