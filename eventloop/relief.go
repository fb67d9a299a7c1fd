package eventloop

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/busbar-ws/busbar/wsproto"
)

// relief is how the process gets below the ledger's marks again. Every loop says who of its
// clients has how much to answer for; the last one to say so picks the heaviest of all and has
// their loops end them. Nothing of it is in the way of who delivers: the loops do their parts
// as tasks, and the lock is taken twice a round by each.
//
// Safe from any goroutine.
type relief struct {
	engine  *Engine
	running atomic.Bool // a round is under way
	barren  atomic.Bool // the last found nobody; the next tick may try again

	mu      sync.Mutex
	waiting int     // loops that haven't said, or haven't ended theirs
	claims  []claim // that were said
	logged  time.Time
	evicted int // since logged
}

// begin starts a round, unless one is under way or it was tried in vain just now.
func (r *relief) begin() {
	if r.barren.Load() || !r.running.CompareAndSwap(false, true) {
		return
	}
	loops := r.engine.joinedLoops()
	r.mu.Lock()
	r.claims, r.waiting = nil, len(loops)
	r.mu.Unlock()
	if len(loops) == 0 {
		r.running.Store(false)
	}
	for _, l := range loops {
		l.post(task{run: r.survey})
	}
}

// mayTryAgain is called at each tick of a loop.
func (r *relief) mayTryAgain() {
	if r.barren.Load() {
		r.engine.ledger.giveUp()
		r.barren.Store(false)
	}
	r.engine.ledger.judge()
}

// survey is a loop's first part in a round. No loop has more to say than what has to go.
func (r *relief) survey(l *Loop) {
	var some []claim
	l.guard(nil, func() {
		l.account.settle()
		some, _ = heaviest(l.claims(), r.engine.ledger.excess())
	})
	r.mu.Lock()
	r.claims = append(r.claims, some...)
	r.waiting--
	last := r.waiting == 0
	r.mu.Unlock()
	if last {
		r.choose()
	}
}

// choose is for the loop that was last to say.
func (r *relief) choose() {
	r.mu.Lock()
	victims, bytes := heaviest(r.claims, r.engine.ledger.excess())
	byLoop := make(map[int][]uint64)
	for _, v := range victims {
		byLoop[loopOf(v.id)] = append(byLoop[loopOf(v.id)], v.id)
	}
	r.claims, r.waiting = nil, len(byLoop)
	r.mu.Unlock()
	if len(byLoop) == 0 {
		r.barren.Store(true)
		r.running.Store(false)
		return
	}
	for i, ids := range byLoop {
		r.engine.loops[i].post(task{run: func(l *Loop) { r.end(l, ids) }})
	}
	r.log(len(victims), bytes) // last: a logger that panics must not end the round
}

// end is a loop's second part. The broadcast log is trimmed by the flush that follows it.
func (r *relief) end(l *Loop, ids []uint64) {
	for _, id := range ids {
		if c := l.clients.find(id); c != nil {
			l.guard(c, func() { l.evict(c) })
		}
	}
	l.account.settle()
	r.mu.Lock()
	r.waiting--
	last := r.waiting == 0
	r.mu.Unlock()
	if last {
		r.running.Store(false)
		r.engine.ledger.judge()
	}
}

// log says at most once a second whom it has hit, and how hard.
func (r *relief) log(clients int, bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.evicted += clients
	if time.Since(r.logged) < time.Second {
		return
	}
	g := &r.engine.ledger
	r.engine.opts.Log.Warn("memory for clients is short: ending those that are furthest behind",
		"clients", r.evicted, "bytes", bytes, "buffered", g.used(), "ceiling", g.ceiling)
	r.logged, r.evicted = time.Now(), 0
}

func (e *Engine) joinedLoops() (joined []*Loop) {
	for _, l := range e.loops {
		if l.waking.gnet.Load() != nil {
			joined = append(joined, l)
		}
	}
	return joined
}

// closeBehind is how much of a message in progress may still go out before a Close.
const closeBehind = 4 << 10

// evict ends a connection for the memory that it takes, which is free at once. It is told
// why where that takes no memory to speak of.
func (l *Loop) evict(c *Client) {
	switch c.state {
	case handshaking, authorising:
		p, _ := c.conn.Peek(-1)
		l.refuse(c, wsproto.RefuseOverloaded.AnswerTo(p), CauseMemory)
		if c.state != gone {
			_, _ = c.conn.Discard(-1)
		}
	case open:
		if c.queue != nil && !c.queue.shorten() {
			l.drop(c, CauseMemory)
			l.freeSendQueue(c)
			return
		}
		l.giveUp(c, CauseMemory, "over capacity, try again later")
		c.set(flagDiscardInput)
	case closing:
		l.drop(c, c.cause)
	}
	if c.decoder != nil {
		l.freeDecoder(c)
	}
}

// shorten keeps of the part what hasn't gone out; false when that is much.
func (o *sendQueue) shorten() bool {
	if o.part == nil {
		return true
	}
	rest := o.part.in(o.form)[o.sent:]
	if len(rest) > closeBehind {
		return false
	}
	short := &Frame{wire: append([]byte(nil), rest...)}
	o.endPart()
	o.part, o.sent = short, 0
	o.holdPart()
	return true
}
