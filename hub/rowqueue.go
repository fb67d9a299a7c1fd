package hub

import (
	"container/list"
	"context"
	"math/rand/v2"
	"time"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/internal/fairqueue"
	"github.com/busbar-ws/busbar/wsproto"
)

// rowQueue is what a client has asked about rows and hasn't been answered. Owned by the client's
// loop.
//
// A client is answered at the pace at which it reads: a row is fetched once most of the answers
// before it are with the kernel. So who asks for more than it can take at once gets it all the same.
//
// Of a service's row, which has all that was published until it is asked, a request is no more than a
// name in here until then. The hub's own rows are snapshots, and what is published behind one is
// nowhere else: whoever asks for one is subscribed at once.
type rowQueue struct {
	requests map[string]*rowRequest // by key
	waiting  list.List              // of *rowRequest, the next first
	fresh    int                    // of those that wait: what will be a subscription more
	bytes    int                    // of their keys
	fetching int
	answer   int // bytes of the last answer, by which more are fetched at once
	failures int // in a row
	resting  bool
}

// rowRequest is a subscription to a row that is being decided about.
type rowRequest struct {
	key     string
	fresh   bool            // the client wasn't subscribed
	place   *list.Element   // in waiting
	task    *fairqueue.Task // while it is fetched
	ticket  uint64          // of the pending subscription; 0: there is none yet
	failing time.Time       // since when the row can't be fetched
	release func()          // gives back what the request takes of the buffer memory
}

// mostFetches is how many rows are fetched for one client at one time, when they are small.
const mostFetches = 16

// How fetches that failed are tried again.
const (
	firstRetry = 250 * time.Millisecond // doubled with each failure in a row
	lastRetry  = 5 * time.Second
)

// rowsPatience is how long a row may be unavailable before the client has to come back for it.
const rowsPatience = time.Minute

// askRow puts a question about a row behind those that the client has asked.
func (h *Hub) askRow(c *eventloop.Client, key string) {
	release, ok := h.engine.Reserve(taskBytes + len(key))
	if !ok {
		c.Close(wsproto.StatusTryAgainLater, "over capacity, try again later", eventloop.CauseMemory)
		return
	}
	s := stateOf(c)
	if s.rows == nil {
		s.rows = &rowQueue{requests: make(map[string]*rowRequest), answer: eventloop.AskedBytes / 4}
	}
	r := &rowRequest{key: key, fresh: !c.Subscribed(key), release: release}
	if h.rows != nil {
		if r.ticket, ok = c.SubscribePending(key); !ok {
			release()
			return // over capacity: it is being closed
		}
	}
	s.rows.requests[key] = r
	s.recheck.overtaken(key)
	s.rows.enqueue(r)
	h.fetchRows(c)
}

func (q *rowQueue) enqueue(r *rowRequest) {
	r.place = q.waiting.PushBack(r)
	q.count(r, 1)
}

func (q *rowQueue) dequeue(r *rowRequest) {
	if r.place != nil {
		q.waiting.Remove(r.place)
		q.count(r, -1)
		r.place = nil
	}
}

func (q *rowQueue) count(r *rowRequest, n int) {
	if r.fresh && r.ticket == 0 {
		q.fresh += n
		q.bytes += n * len(r.key)
	}
}

// forget ends a request, wherever it stands.
func (q *rowQueue) forget(r *rowRequest) {
	if r == nil {
		return
	}
	delete(q.requests, r.key)
	q.dequeue(r)
	if r.task.Cancel() {
		q.fetching--
	}
	r.release()
}

// forgetRows is called when a client isn't open any more. Answers may still come.
func forgetRows(s *state) {
	if s.rows == nil {
		return
	}
	for _, r := range s.rows.requests {
		s.rows.forget(r)
	}
	s.rows = nil
}

// fetchRows has what the client may be sent next fetched, on workers.
func (h *Hub) fetchRows(c *eventloop.Client) {
	q := stateOf(c).rows
	if q == nil {
		return
	}
	for c.Open() && !q.resting && q.waiting.Len() > 0 && q.mayFetch(c) {
		r := q.waiting.Front().Value.(*rowRequest)
		q.dequeue(r)
		h.fetchRow(c, q, r)
	}
	if len(q.requests) == 0 && q.fetching == 0 && !q.resting {
		stateOf(c).rows = nil
	}
}

func (q *rowQueue) mayFetch(c *eventloop.Client) bool {
	switch q.fetching {
	case 0:
		return c.MayAsk(0)
	case mostFetches:
		return false
	}
	return c.MayAsk((q.fetching + 1) * q.answer)
}

// fetchRow has one row fetched. From here on the client is subscribed, if it may be, so that no
// update is missed.
func (h *Hub) fetchRow(c *eventloop.Client, q *rowQueue, r *rowRequest) {
	if r.ticket == 0 {
		var ok bool
		if r.ticket, ok = c.SubscribePending(r.key); !ok {
			return // over capacity: it is being closed
		}
	}
	client, asked := c.ID(), rowQuestion{identity: identityOf(c), deflate: c.Deflates()}
	asked.entity, asked.rowID = rowOfKey(r.key)
	task, err := h.queues.fetches.Go(h.ownerOf(c), taskBytes+len(r.key), func(ctx context.Context) {
		a := h.answerTo(ctx, asked)
		h.engine.Post(client, func(c *eventloop.Client) { h.answered(c, r, a) })
	})
	if err != nil {
		h.fetchFailed(c, q, r)
		return
	}
	r.task = task
	q.fetching++
}

// answered runs on the client's loop, in order with what is published.
func (h *Hub) answered(c *eventloop.Client, r *rowRequest, a rowAnswer) {
	q := stateOf(c).rows
	if q == nil {
		return
	}
	q.fetching--
	if r.task = nil; c.Open() && q.requests[r.key] == r {
		h.settle(c, q, r, a)
	}
	h.fetchRows(c)
}

func (h *Hub) settle(c *eventloop.Client, q *rowQueue, r *rowRequest, a rowAnswer) {
	if a.err != nil {
		h.fetchFailed(c, q, r)
		return
	}
	if a.frame != nil {
		q.answer = max(a.frame.Size(), eventloop.AskedBytes/64)
	}
	switch {
	case a.denied:
		c.Unsubscribe(r.key)
	case c.ReleaseSubscription(r.key, r.ticket, a.frame, a.version) == eventloop.ReleasedAgain:
		h.fetchFailed(c, q, r)
		return
	default:
		h.keepRechecking(c)
	}
	q.failures = 0
	q.forget(r)
}

// fetchFailed has a row fetched again. With a service, a client that was subscribed to it goes on to get its updates, and
// any other is subscribed when the service is asked; those of the hub's own rows wait for the snapshot. A client that has
// been waiting for too long is told to come back.
func (h *Hub) fetchFailed(c *eventloop.Client, q *rowQueue, r *rowRequest) {
	now := time.Now()
	if r.failing.IsZero() {
		r.failing = now
	}
	if now.Sub(r.failing) >= h.rowsPatience {
		c.Close(wsproto.StatusTryAgainLater, "rows are unavailable, try again later", eventloop.CauseServerClosed)
		return
	}
	if h.rows == nil {
		c.CancelSubscription(r.key, r.ticket)
		r.ticket = 0
	}
	h.tryLater(c, q, r)
}

// tryLater puts a request behind the others of its client, and has them all wait for a while: if
// one can't be answered, the next can't either, as a rule.
func (h *Hub) tryLater(c *eventloop.Client, q *rowQueue, r *rowRequest) {
	q.enqueue(r)
	if q.resting {
		return
	}
	q.resting = true
	wait := min(firstRetry<<min(q.failures, 10), lastRetry)
	q.failures++
	client := c.ID()
	time.AfterFunc(wait/2+rand.N(wait/2), func() {
		h.engine.Post(client, func(c *eventloop.Client) {
			q.resting = false
			h.fetchRows(c)
		})
	})
}
