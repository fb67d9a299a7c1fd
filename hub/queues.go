package hub

import (
	"context"
	"errors"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/internal/fairqueue"
	"github.com/busbar-ws/busbar/internal/memory"
)

// queues hold what waits for an answer from elsewhere, each kind apart, so that none holds another
// up. What a client waits for ends with it: see callbacks.Closed.
type queues struct {
	lookups  *fairqueue.Queue // of tokens: newcomers', and those of the API's callers
	renewals *fairqueue.Queue // of tokens whose clients' sessions have ended
	fetches  *fairqueue.Queue // of rows' snapshots
	rechecks *fairqueue.Queue // of rows that clients are subscribed to
	reads    *fairqueue.Queue // of the change log
	views    *fairqueue.Queue // of new clients
}

// waitingShare is the part of the memory for buffers that may wait in one queue.
const waitingShare = 4

// newQueues makes queues whose tasks hold counts as kept for clients.
func newQueues(o *Options, hold func(n int) (release func(), ok bool), panicked func(any)) queues {
	bytes := o.Loops.Memory.BufferBytes
	if bytes <= 0 {
		bytes = memory.Defaults().Buffers
	}
	queue := func(running int) *fairqueue.Queue {
		return fairqueue.New(fairqueue.Limits{Running: running, Waiting: o.WorkerQueue, Bytes: bytes / waitingShare, Hold: hold}, panicked)
	}
	// Newcomers don't wait behind those who are in, however many sessions end at once.
	renewals := max(o.Workers/4, 1)
	fetches, rechecks := o.Workers, max(o.Workers/4, 1)
	if o.Rows.Recheck > 0 {
		fetches = max(fetches-rechecks, 1)
	}
	return queues{
		lookups: queue(max(o.Workers-renewals, 1)), renewals: queue(renewals),
		fetches: queue(fetches), rechecks: queue(rechecks), reads: queue(o.Workers), views: queue(o.Workers),
	}
}

func (q *queues) all() []*fairqueue.Queue {
	return []*fairqueue.Queue{q.lookups, q.renewals, q.fetches, q.rechecks, q.reads, q.views}
}

// refused is how much wasn't taken.
func (q *queues) refused() (n uint64) {
	for _, queue := range q.all() {
		n += queue.Stats().Refused
	}
	return n
}

func (q *queues) close(ctx context.Context) {
	for _, queue := range q.all() {
		queue.Close(ctx)
	}
}

// ownerOf is whose turn it takes to do something for a client: nobody's user is nobody's share, and
// neither is an address that may be a proxy's.
func (h *Hub) ownerOf(c *eventloop.Client) (o fairqueue.Owner) {
	o.User, _ = rateKey(c)
	if h.opts.Loops.Accept.MaxPerAddress >= 0 {
		o.Address = c.Addr()
	}
	return o
}

// ErrBusy is returned for a token that isn't looked up, because too many wait for that already,
// or too many of that address.
var ErrBusy = errors.New("too many tokens wait to be looked up")

// taskBytes is about what something that waits takes, besides its strings.
const taskBytes = 1024
