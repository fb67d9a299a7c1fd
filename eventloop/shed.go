package eventloop

import (
	"context"
	"runtime"
	"runtime/metrics"
	"slices"
	"sync/atomic"
	"time"

	"github.com/busbar-ws/busbar/eventloop/internal/budget"
	"github.com/busbar-ws/busbar/wsproto"
)

// collectEvery is how often the collector is run at most while that isn't enough.
const collectEvery = time.Second

// shedder gets the process below the budget's mark again: what nobody uses any more is collected,
// and when that isn't enough, the clients who have most still to be sent are ended.
type shedder struct {
	engine  *Engine
	running atomic.Bool
	refused atomic.Bool // something that no client has to go for; see Engine.Hold

	// Of the goroutine that runs.
	collected time.Time // when the collector ran last
	short     bool      // it left more than the mark to be shed to
	logged    time.Time
	ended     int // clients, since logged
}

// collectFor has the collector run, at most once in collectEvery, when something was refused that may fit
// without what nobody uses any more. Nobody is ended for it. To be called from any goroutine.
func (s *shedder) collectFor() {
	s.refused.Store(true)
	s.begin()
}

// begin is called while the budget is above its mark, from any goroutine.
func (s *shedder) begin() {
	if s.running.CompareAndSwap(false, true) {
		go s.run()
	}
}

func (s *shedder) run() {
	b := s.engine.budget
	defer b.Judge() // whatever came when it was about to end
	defer s.running.Store(false)
	if s.refused.Swap(false) && time.Since(s.collected) >= collectEvery {
		s.collect()
	}
	for share := int64(1); b.Pressed(); {
		if !s.short || time.Since(s.collected) >= collectEvery {
			s.collect()
			continue
		}
		if n := s.end(b.Excess() * share); n > 0 {
			s.short = false // what they had is to be collected
			share *= 2      // some of it others have too
			continue
		}
		b.GiveUp()
		select {
		case <-time.After(collectEvery - time.Since(s.collected)):
			share = 1
		case <-s.engine.poller.Done():
			return
		}
	}
}

// collect frees what nobody has any more, and returns when the budget knows of it.
func (s *shedder) collect() {
	short := s.engine.budget.Collecting()
	_ = s.engine.Each(context.Background(), func(*Loop) {}) // they handle what waits in their mailboxes first
	collect()
	s.collected = time.Now()
	s.short = short()
}

func collect() {
	runtime.GC()
	counts := []metrics.Sample{{Name: "/gc/cleanups/queued:cleanups"}, {Name: "/gc/cleanups/executed:cleanups"}}
	metrics.Read(counts)
	for queued := counts[0].Value.Uint64(); counts[1].Value.Uint64() < queued; metrics.Read(counts) {
		time.Sleep(time.Millisecond) // other goroutines of the runtime do that, and tell nobody
	}
}

// end ends those clients of all loops who owe most, until they are so many bytes, and returns
// how many they were.
func (s *shedder) end(bytes int64) int {
	e := s.engine
	byLoop := make([][]budget.Debt, len(e.loops))
	err := e.visit(context.Background(), nil, func(c *Client) {
		if n := c.debt(); n > 0 {
			some := &byLoop[c.loop.index]
			*some = append(*some, budget.Debt{Client: c.id, Bytes: n})
		}
	})
	if err != nil {
		return 0 // the engine has stopped
	}
	debts := budget.Largest(slices.Concat(byLoop...), bytes)
	s.log(debts)
	ids := make([]uint64, len(debts))
	for i, d := range debts {
		ids[i] = d.Client
	}
	_ = e.visit(context.Background(), &Audience{Clients: ids}, func(c *Client) { c.loop.shed(c) })
	return len(debts)
}

// log says at most once a second whom it hits.
func (s *shedder) log(debts []budget.Debt) {
	s.ended += len(debts)
	if len(debts) == 0 || time.Since(s.logged) < time.Second {
		return
	}
	b := s.engine.budget
	s.engine.opts.Log.Warn("memory for clients is short: ending those that are furthest behind",
		"clients", s.ended, "buffered", b.Used(), "ceiling", b.Ceiling())
	s.logged, s.ended = time.Now(), 0
}

// manySubscriptions take so many bytes. Nobody is ended for fewer.
const manySubscriptions = 64 << 10

// debt is how many bytes the client has still to be sent, has sent that aren't a message yet, and has
// in subscriptions, if they are many.
func (c *Client) debt() (bytes int64) {
	l := c.loop
	switch c.state {
	case gone:
		return 0
	case handshaking, authorising:
		return upgradeBytes(c.pos)
	}
	for name, p := range l.pendingOf(c) {
		bytes += int64(p.Bytes) + pendingCost(name)
	}
	if c.decoder != nil {
		bytes += c.decoder.Held()
	}
	if size := l.subs.SizeOf(c.slot); size >= manySubscriptions {
		bytes += int64(size)
	}
	if m := l.behind.replays[c.slot]; m != nil {
		bytes += int64(m.Bytes() + m.Asked())
	}
	if c.queue != nil {
		bytes += c.queue.Size()
	}
	if from, keeps := c.keeps(); keeps {
		bytes += l.broadcasts.Since(from)
	}
	return bytes
}

// keeps is from where on the broadcast log is kept for a client that is behind.
func (c *Client) keeps() (from uint64, keeps bool) {
	switch o := c.queue; {
	case c.is(flagPinned):
		return c.pos, true
	case c.is(flagReplaying) || o == nil || !o.Waiting || o.Stops(c.pos): // or it gets a Close and no more
		return 0, false
	}
	return c.pos, true
}

// slowest is the position that no client who is behind stands before.
func (l *Loop) slowest() uint64 {
	if l.behind.pinned > 0 { // who is pinned isn't listed anywhere, for a moment
		return l.broadcasts.First()
	}
	least := l.broadcasts.End()
	for _, c := range l.behind.laggards {
		if from, keeps := c.keeps(); keeps {
			least = min(least, from)
		}
	}
	return least
}

// closeBehind is how much of a message in progress may still go out before a Close.
const closeBehind = 4 << 10

// shed ends a connection for the memory that it takes. It is told why where that takes no memory
// to speak of.
func (l *Loop) shed(c *Client) {
	switch c.state {
	case handshaking, authorising:
		p := c.conn.Peek()
		l.refuse(c, wsproto.RefuseOverloaded.AnswerTo(p), CauseMemory)
		if c.state != gone {
			c.conn.DiscardAll()
		}
	case open:
		if c.queue != nil && !c.queue.Shorten(closeBehind) {
			l.abort(c, CauseMemory)
			l.freeSendQueue(c)
			return
		}
		l.close(c, wsproto.StatusTryAgainLater, "over capacity, try again later", CauseMemory)
	case closing:
		l.abort(c, c.cause)
	}
	if c.decoder != nil {
		l.freeDecoder(c)
	}
}
