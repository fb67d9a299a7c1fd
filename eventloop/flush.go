package eventloop

import (
	"golang.org/x/sys/unix"

	"github.com/busbar-ws/busbar/eventloop/internal/poll"
)

// What one pump of a client that is behind may take before the others have a turn.
const (
	pumpPieces = 64
	pumpBytes  = 256 << 10
	pumpSends  = 4
)

// flushSlice is how many clients a flush writes to before whatever else the loop has to do
// gets its turn: reads, accepts, pings, answers of workers. At 5 to 10 µs for each send
// that is a turn at least every 20 ms or so, however many clients there are.
const flushSlice = 2048

// arrivals is the share of a slice that is walked while connections come. gnet accepts one
// for each time that it looks at the sockets (v2.9.8, eventloop.accept), which between
// whole slices would be a hundred a second or so while flushes follow one another.
const arrivals = 32

// fanout is a loop's flush: the walk that is under way, and who has something of their own due.
type fanout struct {
	batch    batch
	flushed  uint64 // every client that isn't replaying or behind stands here between flushes
	walking  bool   // a walk that writes the batch to everyone is under way
	at       int    // the slot that it goes on with
	bytes    int    // broadcasts.bytes as it was when the walk began; nothing is trimmed meanwhile
	slice    int    // flushSlice, less in tests
	opened   int    // connections since the last slice
	dirty    []*Client
	coalesce coalesce
}

// flush goes on with bringing every client to the end of the broadcast log, with one system call
// for each. What is appended while a walk over many clients is under way goes out with the
// next walk, which starts when this one is over.
func (l *Loop) flush() {
	l.flushBegins()
	if !l.fanout.walking && l.fanout.flushed < l.broadcasts.end {
		l.startWalk()
	}
	if l.fanout.walking {
		l.walk()
	}
	for at := 0; at < len(l.fanout.dirty); { // pumping one client may make another dirty
		at = l.each(at, len(l.fanout.dirty), l.pumpDirty, func(i int) *Client { return l.fanout.dirty[i] })
	}
	clear(l.fanout.dirty)
	l.fanout.dirty = shrink(l.fanout.dirty)[:0]
	if l.fanout.walking || l.fanout.flushed < l.broadcasts.end {
		l.yield()
		return
	}
	l.trim()
}

func (l *Loop) pumpDirty(i int) bool {
	c := l.fanout.dirty[i]
	c.unset(flagDirty)
	if c.state != gone && c.queue != nil && !c.queue.waiting {
		l.pump(c)
	}
	return true
}

func (l *Loop) startWalk() {
	l.fanout.batch.build(&l.broadcasts, l.fanout.flushed, l.broadcasts.end)
	l.fanout.flushed = l.broadcasts.end
	l.fanout.walking, l.fanout.at, l.fanout.bytes = true, 0, l.broadcasts.bytes
	l.counters.flushes.Add(1)
}

// walk writes the batch to the next slice of the slab. A client whose connection breaks at
// its write is taken out of the slab there and then, which leaves a hole and moves nobody;
// one that has come since the walk began stands behind the batch.
func (l *Loop) walk() {
	var t tally
	left := l.nextSlice()
	for l.fanout.at < len(l.clients.slots) && left > 0 {
		l.fanout.at = l.each(l.fanout.at, len(l.clients.slots), func(i int) bool {
			if c := l.clients.slots[i]; c != nil && c.state == open {
				l.deliver(c, &t)
				left--
			}
			return left > 0
		}, l.at)
	}
	l.counters.add(t)
	if l.fanout.at >= len(l.clients.slots) {
		l.fanout.walking = false
		l.fanout.batch.forget()
	}
}

// nextSlice is how many clients have their turn before the loop looks at its sockets.
func (l *Loop) nextSlice() int {
	came := l.fanout.opened
	l.fanout.opened = 0
	if came > 0 {
		return l.fanout.slice / arrivals
	}
	return l.fanout.slice
}

// deliver writes one client's share of the batch. This is the fan-out's inner loop.
func (l *Loop) deliver(c *Client, t *tally) {
	if c.is(flagReplaying) { // it may stand before the batch
		l.deliverReplaying(c)
		return
	}
	if c.queue != nil {
		if !c.queue.waiting {
			l.pump(c)
		}
		return
	}
	as := l.fanout.batch.layout(&l.broadcasts, c.form())
	want := l.fanout.batch.rest(as, c.pos)
	if want == 0 {
		return
	}
	n, errno := l.fanout.batch.send(as, c.fd, c.pos)
	t.sends++
	t.bytes += uint64(n)
	switch {
	case n == want:
		t.frames += l.fanout.batch.end - c.pos
		c.pos = l.fanout.batch.end
	case errno == 0 || errno == unix.EAGAIN:
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
	if c.queue != nil && !c.queue.waiting {
		l.pump(c)
	}
}

// fallBehind notes that the kernel took only n bytes of what c is owed.
func (l *Loop) fallBehind(c *Client, n int) {
	o := c.ensureQueue()
	var finished int
	c.pos, finished = o.take(&l.broadcasts, c.pos, n)
	l.counters.frames.Add(uint64(finished))
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
	var t tally
	defer func() { l.counters.add(t) }()
	for range pumpSends {
		want := l.gather(c)
		if want == 0 {
			break
		}
		n, errno := poll.Sendv(c.fd, l.pools.iov)
		t.sends++
		if errno != 0 && errno != unix.EAGAIN {
			l.abort(c, CauseReset)
			return
		}
		var finished int
		c.pos, finished = o.take(&l.broadcasts, c.pos, n)
		t.bytes += uint64(n)
		t.frames += uint64(finished)
		o.unacked += uint32(n)
		if n < want {
			l.wait(c)
			return
		}
	}
	switch {
	case o.drained(&l.broadcasts, c.pos):
		l.caughtUp(c)
	case o.pinned && o.part == nil:
		l.stopWaiting(o) // what is left waits for SendPage or GoLive
	default:
		l.wait(c) // the socket has room: the event comes with the next poll
	}
}

// gather fills the loop's iovecs with what comes next for c.
func (l *Loop) gather(c *Client) (size int) {
	l.pools.iov = l.pools.iov[:0]
	next := c.queue.cursor(&l.broadcasts, c.pos)
	for len(l.pools.iov) < pumpPieces && size < pumpBytes {
		p := next.next()
		if p == nil {
			break
		}
		l.pools.iov = append(l.pools.iov, poll.Iovec(p))
		size += len(p)
	}
	return size
}

func (l *Loop) caughtUp(c *Client) {
	l.freeSendQueue(c)
	if c.is(flagDrained) {
		c.unset(flagDrained)
		l.guard(c, func() { l.handler.Drained(c) })
	}
	if c.state == closing && c.is(flagDiscardInput) {
		l.shutWrite(c) // our Close is out, and the peer's has come or isn't listened for
	}
}

// enqueue owes f to one client alone.
func (l *Loop) enqueue(c *Client, f *Frame) {
	if c.state != open {
		return
	}
	if c.is(flagReplaying) && !c.is(flagPinned) {
		if f.Seq == 0 { // events are given to it from the log
			l.bufferBroadcasts(c)
			l.bufferForReplay(c, f, false)
		}
		return
	}
	if c.queue != nil && c.queue.tooMuch(len(f.wire), l.opts.LagBytes) && !l.makeRoom(c, len(f.wire)) {
		return
	}
	c.ensureQueue().push(f, l.broadcasts.end)
	l.fanout.coalesce.unsent += len(f.wire)
	l.markDirty(c)
}

// enqueueAsked is enqueue for what the client has asked for, which isn't held against it: whoever
// answers goes by MayAsk.
func (l *Loop) enqueueAsked(c *Client, f *Frame) {
	if c.state != open {
		return
	}
	if c.is(flagReplaying) && !c.is(flagPinned) { // it mustn't overtake what was published before it
		if l.bufferBroadcasts(c); c.state == open {
			l.bufferForReplay(c, f, true)
		}
		return
	}
	o := c.ensureQueue()
	o.pushAsked(f, l.broadcasts.end)
	l.markDirty(c)
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

// trim keeps no more of the broadcast log than those who are behind may still get.
func (l *Loop) trim() {
	if len(l.behind.laggards) == 0 && l.behind.pinned == 0 {
		l.broadcasts.forget()
		return
	}
	l.broadcasts.trim(l.opts.LagBytes)
	if l.engine.budget.Pressed() {
		l.broadcasts.dropBefore(l.slowest())
	}
}
