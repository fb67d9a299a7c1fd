package eventloop

import (
	"time"

	"github.com/busbar-ws/busbar/eventloop/internal/delivery"
	"github.com/busbar-ws/busbar/eventloop/internal/poll"
)

// pumpSends is how many system calls there may be for a client that is behind before the others have a turn.
const pumpSends = 4

// fanout is a loop's flush: the walk that is under way, and who has something of their own due.
type fanout struct {
	batch     delivery.Batch[poll.Piece]
	flushed   uint64 // every client that isn't replaying or behind stands here between flushes
	flushing  bool   // some clients haven't had their turn since the flush began
	walking   bool   // a walk that writes the batch to everyone is under way
	at        int    // the slot that it goes on with
	pumpFirst bool   // the dirty are ahead of the walk: in every other turn
	trimmedTo int    // bytes that were left in broadcasts when it was last trimmed
	tried     uint32 // tick in which laggards had their last try before that

	walkBegan delivery.Moment

	slice
	opened int // connections since the last turn

	dirty  []*Client
	pumped int // of them
	unsent int // messages that wait in queues for the dirty to have their turn

	// Flushes are kept apart by Options.FlushDelay: a message that comes later than that after the flush
	// before it goes out at once; those that come sooner go out together when the time is up.
	began time.Time   // of the last flush
	again *time.Timer // wakes the loop when the next may begin
	due   int         // bytes that have become due since the last flush, each client's own counted apart
}

// flush goes on with bringing every client to the end of the broadcast log and of its own queue, with
// one system call for each. What is appended while a walk over many clients is under way goes out with the
// next walk, which starts when this one is over.
func (l *Loop) flush() {
	l.flushBegins()
	l.fanout.flushing = true
	if !l.fanout.walking && l.fanout.flushed < l.broadcasts.End() {
		l.startWalk()
	}
	if l.fanout.pumpFirst = !l.fanout.pumpFirst; l.fanout.pumpFirst {
		l.pumpDirty()
		l.walk()
	} else {
		l.walk()
		l.pumpDirty()
	}
	if !l.fanout.walking && l.fanout.flushed == l.broadcasts.End() && len(l.fanout.dirty) == 0 && !l.tryLaggards() {
		l.fanout.flushing = false
		if l.mailbox.end == 0 { // what is lost is told by the events that are with all whom they are for
			l.trim()
		}
	}
	if l.fanout.flushing || l.mailbox.handled < len(l.mailbox.taken) {
		l.yield()
	}
}

// pumpDirty sends to clients that have something of their own, those first that have waited for longest.
func (l *Loop) pumpDirty() {
	for l.fanout.pumped < len(l.fanout.dirty) && !l.fanout.over { // pumping one client may make another dirty
		l.fanout.pumped = l.each(l.fanout.pumped, len(l.fanout.dirty), func(i int) bool {
			c := l.fanout.dirty[i]
			c.unset(flagDirty)
			if c.state != gone && c.queue != nil && (!c.queue.Waiting || c.queue.Ready) {
				l.pump(c)
			}
			return !l.fanout.over
		}, func(i int) *Client { return l.fanout.dirty[i] })
	}
	switch rest := l.fanout.dirty[l.fanout.pumped:]; {
	case len(rest) == 0:
		clear(l.fanout.dirty)
		l.fanout.dirty, l.fanout.pumped, l.fanout.unsent = shrink(l.fanout.dirty)[:0], 0, 0
	case l.fanout.pumped > len(rest):
		n := copy(l.fanout.dirty, rest)
		clear(l.fanout.dirty[n:])
		l.fanout.dirty, l.fanout.pumped = l.fanout.dirty[:n], 0
	}
}

func (l *Loop) startWalk() {
	l.fanout.batch.Build(&l.broadcasts, l.fanout.flushed)
	l.fanout.flushed = l.broadcasts.End()
	l.fanout.walking, l.fanout.at = true, 0
	l.counters.Flushes.Add(1)
	l.fanout.walkBegan = delivery.MomentOf(l.fanout.looked.Sub(l.engine.started))
	l.fanout.batch.Each(func(f *Frame) { l.counters.firstSend.Observe(l.fanout.walkBegan.Since(f.Published())) })
}

// walk writes the batch to the next of the slab's clients. A client whose connection breaks at
// its write is taken out of the slab there and then, which leaves a hole and moves nobody;
// one that has come since the walk began stands behind the batch.
func (l *Loop) walk() {
	if !l.fanout.walking {
		return
	}
	var t delivery.Tally
	for l.fanout.at < len(l.clients.slots) && !l.fanout.over {
		l.fanout.at = l.each(l.fanout.at, len(l.clients.slots), func(i int) bool {
			if c := l.clients.slots[i]; c != nil && c.state == open {
				l.deliver(c, &t)
			}
			return !l.fanout.over
		}, l.at)
	}
	l.counters.add(t)
	if l.fanout.at >= len(l.clients.slots) {
		l.fanout.walking = false
		l.walkEnds()
		l.fanout.batch.Forget()
	}
}

// walkEnds looks at the clock, once for all clients and all messages of the walk.
func (l *Loop) walkEnds() {
	now := delivery.MomentOf(time.Since(l.engine.started))
	l.counters.flush.Observe(now.Since(l.fanout.walkBegan))
	l.fanout.batch.Each(func(f *Frame) { l.counters.lastSend.Observe(now.Since(f.Published())) })
}

// deliver writes one client's share of the batch. This is the fan-out's inner loop.
func (l *Loop) deliver(c *Client, t *delivery.Tally) {
	if c.is(flagReplaying) { // it may stand before the batch
		l.deliverReplaying(c)
		return
	}
	if c.queue != nil {
		if !c.queue.Waiting {
			l.pump(c)
		}
		return
	}
	wire, pieces, want := l.fanout.batch.Owed(c.form(), c.pos)
	if want == 0 {
		return
	}
	var n int
	var ok bool
	if pieces == nil {
		n, ok = poll.Send(c.fd, wire)
	} else {
		n, ok = poll.Sendv(c.fd, pieces)
	}
	l.fanout.spend(1 + n/bytesPerStep)
	t.Sends++
	t.Bytes += uint64(n)
	switch {
	case n == want:
		t.Frames += l.fanout.batch.End() - c.pos
		c.pos = l.fanout.batch.End()
	case ok:
		l.fallBehind(c, n)
	default:
		l.abort(c, CauseReset)
	}
}

// deliverReplaying is deliver for a client that catches up.
func (l *Loop) deliverReplaying(c *Client) {
	if !c.is(flagPinned) {
		l.bufferBroadcasts(c)
	}
	if c.queue != nil && !c.queue.Waiting {
		l.pump(c)
	}
}

// fallBehind notes that the kernel took only n bytes of what c is owed.
func (l *Loop) fallBehind(c *Client, n int) {
	o := c.ensureQueue()
	var finished int
	c.pos, finished = o.Take(&l.broadcasts, c.pos, n)
	l.counters.FramesOut.Add(uint64(finished))
	l.wait(c)
}

// pump sends to a client that has a send queue until it is owed nothing, its socket is
// full, or it has had its share of this turn.
func (l *Loop) pump(c *Client) {
	l.pumpOut(c)
	l.tellTaken(c)
}

func (l *Loop) pumpOut(c *Client) {
	if l.fellOff(c) {
		return
	}
	o := c.queue
	o.Ready = false
	var t delivery.Tally
	defer func() { l.counters.add(t) }()
	for range pumpSends {
		var want int
		l.pools.iov, want = delivery.Gather(l.pools.iov, poll.PieceOf, o, &l.broadcasts, c.pos)
		if want == 0 {
			break
		}
		n, ok := poll.Sendv(c.fd, l.pools.iov)
		l.fanout.spend(1 + n/bytesPerStep)
		t.Sends++
		if !ok {
			l.abort(c, CauseReset)
			return
		}
		var finished int
		c.pos, finished = o.Take(&l.broadcasts, c.pos, n)
		t.Bytes += uint64(n)
		t.Frames += uint64(finished)
		o.Unacked += uint32(n)
		if n < want {
			l.wait(c)
			return
		}
	}
	switch {
	case o.Drained(&l.broadcasts, c.pos):
		l.caughtUp(c)
	case o.Held():
		l.stopWaiting(o) // what is left waits for SendPage or GoLive
	default:
		l.wait(c) // the socket has room: the event comes with the next poll
	}
}

func (l *Loop) caughtUp(c *Client) {
	if c.state == closing {
		l.account.owed++ // its Close
	}
	l.freeSendQueue(c)
	if c.is(flagDrained) {
		c.unset(flagDrained)
		l.guard(c, func() { l.engine.handler.Drained(c) })
	}
	if c.state == closing && c.is(flagDiscardInput) {
		l.shutWrite(c) // our Close is out, and the peer's has come or isn't listened for
	}
}

// enqueue owes f to one client alone. What it has asked for isn't held against it: whoever answers goes by
// MayAsk.
func (l *Loop) enqueue(c *Client, f *Frame, asked bool) {
	if c.state == open {
		l.account.owed++
		l.place(c, f, asked)
	}
}

// place finds a place for what an open client is owed.
func (l *Loop) place(c *Client, f *Frame, asked bool) {
	if c.is(flagReplaying) && !c.is(flagPinned) {
		if f.Seq > 0 && !asked { // events are given to it from the log
			l.account.replace(byChangeLog, 1)
			return
		}
		l.bufferBroadcasts(c) // what was published before f comes before it
		l.bufferForReplay(c, f, asked)
		return
	}
	has := roomFor
	if !asked && c.queue != nil {
		has = l.hasRoom(c, f)
	}
	switch has {
	case roomNowhere:
		l.account.loseFrame(LossClosed, f)
	case roomFor:
		c.ensureQueue().Push(f, l.broadcasts.End(), asked)
		if !asked {
			l.fanout.unsent++
			l.fanout.due += f.Size()
		}
		l.markDirty(c)
	}
}

func (l *Loop) markDirty(c *Client) {
	if !c.is(flagDirty) {
		c.set(flagDirty)
		l.fanout.dirty = append(l.fanout.dirty, c)
		if len(l.fanout.dirty) == 1 {
			l.wakeSelf()
		}
	}
}

// tryLaggards gives those who would fall off the broadcast log a turn before, and returns whether there
// are any: what became of their sockets since they ran full may not have been told yet. Who hasn't
// acknowledged anything at the last look needs none.
func (l *Loop) tryLaggards() (some bool) {
	if l.fanout.tried == l.now || l.broadcasts.Excess() <= l.opts.Slow.LagBytes {
		return false
	}
	l.fanout.tried = l.now
	for _, c := range l.behind.laggards {
		if o := c.queue; c.state == open && o.Looked <= o.Progressed {
			o.Ready, some = true, true
			l.markDirty(c)
		}
	}
	return some
}

// trim keeps no more of the broadcast log than those who are behind may still get.
func (l *Loop) trim() {
	if len(l.behind.laggards) == 0 && l.behind.pinned == 0 {
		l.broadcasts.Forget()
		l.fanout.trimmedTo = 0
		return
	}
	l.broadcasts.Trim(l.opts.Slow.LagBytes, l.trimmed)
	if l.engine.budget.Pressed() {
		l.broadcasts.DropBefore(l.slowest())
	}
	l.fanout.trimmedTo = l.broadcasts.Bytes()
}
