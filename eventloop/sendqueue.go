package eventloop

import (
	"math"

	"github.com/busbar-ws/busbar/eventloop/internal/budget"
)

// queuedBytes is what a place in a queue takes.
const queuedBytes = 24

// sendQueue is what a client is owed beyond the loop's broadcast log. A client that has taken
// everything has none; it is made when something is queued for that client alone or
// when a send came up short, and goes back to the loop's pool when it is empty.
// Owned by the client's loop.
type sendQueue struct {
	// part[sent:] is the rest of a frame that the kernel took only in part. It
	// goes before anything else, wherever the frame came from, and keeps its frame
	// alive when the broadcast log has moved on.
	part *Frame
	sent int

	form form // of what goes out; it never changes while something is owed

	frames []queued // frames for this client alone, oldest at head
	head   int
	// Uncompressed, so that clients of either form are slow at the same place.
	bytes int // in queue from head on, without
	asked int // those that the client asked for: snapshots and events that it missed

	// stop is the broadcast log position that a closing client gets no further than.
	stop uint64
	// pinned: nothing behind the part goes out, the client is.
	pinned bool

	told *Frame // the last frame that told of a loss; it may stand in the queue still

	lagIndex   int    // place in Loop.laggards while waiting
	waiting    bool   // for the socket to be writable: the client lags
	ready      bool   // it is, or may be
	unacked    uint32 // bytes that the peer hadn't acknowledged when it was last looked at, and those sent since
	looked     uint32 // when that was, by the loop's lag clock, while waiting
	progressed uint32 // when the peer was last found to have acknowledged something, by the same

	budget *budget.Budget // nil: nobody counts
	places int            // in queue, that the budget knows of
}

// queued is a frame for one client; it goes out before the log's frame at the position.
type queued struct {
	frame *Frame
	at    uint64
	asked bool
}

func (o *sendQueue) reset() {
	clear(o.frames)
	const keep = 64
	q := o.frames[:0]
	if cap(q) > keep {
		q = nil
	}
	*o = sendQueue{frames: q, stop: math.MaxUint64, budget: o.budget, places: o.places}
	o.countPlaces()
}

func (o *sendQueue) push(f *Frame, at uint64) { o.add(queued{f, at, false}) }

// pushAsked is push for what the client has asked for, which isn't held against it as
// falling behind.
func (o *sendQueue) pushAsked(f *Frame, at uint64) { o.add(queued{f, at, true}) }

func (o *sendQueue) add(q queued) {
	q.frame.seal()
	o.compact()
	o.frames = append(o.frames, q)
	*o.bytesOf(q) += len(q.frame.wire)
	o.countPlaces()
}

// compact takes back the places of frames that have left the queue. A client that always has
// more to come never empties it.
func (o *sendQueue) compact() {
	if o.head > 32 && o.head > len(o.frames)/2 {
		n := copy(o.frames, o.frames[o.head:])
		clear(o.frames[n:])
		o.frames, o.head = o.frames[:n], 0
	}
}

func (o *sendQueue) bytesOf(q queued) *int {
	if q.asked {
		return &o.asked
	}
	return &o.bytes
}

// pushFront puts a frame before everything that isn't in progress.
func (o *sendQueue) pushFront(f *Frame, at uint64) {
	f.seal()
	if o.head == 0 {
		o.frames = append(o.frames, queued{})
		copy(o.frames[1:], o.frames)
	} else {
		o.head--
	}
	o.frames[o.head] = queued{f, at, false}
	o.bytes += len(f.wire)
	o.countPlaces()
}

// countPlaces has the budget know of how long the queue has become.
func (o *sendQueue) countPlaces() {
	if now := cap(o.frames); now != o.places && o.budget != nil {
		o.budget.Add(budget.Queues, int64(now-o.places)*queuedBytes)
		o.places = now
	}
}

func (o *sendQueue) queuedLen() int { return len(o.frames) - o.head }

func (o *sendQueue) pop() *Frame {
	q := o.frames[o.head]
	o.frames[o.head] = queued{}
	o.head++
	*o.bytesOf(q) -= len(q.frame.wire)
	if o.head == len(o.frames) {
		o.frames, o.head = o.frames[:0], 0
	}
	return q.frame
}

// cursor walks what a client is owed, in order, without changing anything.
type cursor struct {
	o    *sendQueue
	log  *broadcastLog
	pos  uint64 // in the broadcast log
	head int    // in the queue
	part bool   // the part is still to come
}

func (o *sendQueue) cursor(f *broadcastLog, pos uint64) cursor {
	return cursor{o: o, log: f, pos: pos, head: o.head, part: o.part != nil}
}

// next is the next piece of bytes, nil at the end. Order: the part, then the queue's
// frames behind whose position the client stands, then the broadcast log.
func (c *cursor) next() []byte {
	if c.part {
		c.part = false
		return c.o.part.in(c.o.form)[c.o.sent:]
	}
	if c.o.pinned {
		return nil
	}
	if c.head < len(c.o.frames) && c.o.frames[c.head].at <= c.pos {
		c.head++
		return c.o.frames[c.head-1].frame.in(c.o.form)
	}
	if c.pos < c.log.end && c.pos < c.o.stop {
		c.pos++
		return c.log.at(c.pos - 1).in(c.o.form)
	}
	if c.head < len(c.o.frames) {
		c.head++
		return c.o.frames[c.head-1].frame.in(c.o.form)
	}
	return nil
}

// take accounts for n bytes that the kernel took and returns the client's new
// position and how many frames were finished.
func (o *sendQueue) take(f *broadcastLog, pos uint64, n int) (newPos uint64, finished int) {
	for n > 0 {
		if o.part == nil {
			o.part, pos = o.advance(f, pos)
			o.sent = 0
		}
		rest := len(o.part.in(o.form)) - o.sent
		if n < rest {
			o.sent += n
			return pos, finished
		}
		n -= rest
		o.part = nil
		finished++
	}
	return pos, finished
}

func (o *sendQueue) advance(f *broadcastLog, pos uint64) (*Frame, uint64) {
	if o.queuedLen() > 0 && (o.frames[o.head].at <= pos || pos >= f.end || pos >= o.stop) {
		return o.pop(), pos
	}
	return f.at(pos), pos + 1
}

// tooMuch is whether more than limit waits in the queue, with another frame of size bytes and
// without the largest of all.
func tooMuch(queue []queued, bytes, size, limit int) bool {
	if bytes+size <= limit {
		return false
	}
	largest := size
	for _, q := range queue {
		if !q.asked {
			largest = max(largest, len(q.frame.wire))
		}
	}
	return bytes+size-largest > limit
}

// tooMuch is the same for what is owed to one client.
func (o *sendQueue) tooMuch(size, limit int) bool {
	return tooMuch(o.frames[o.head:], o.bytes, size, limit)
}

// dropOldest takes the oldest frames out of the queue until at most keep bytes are left,
// and returns how many went. What the client asked for stays.
func (o *sendQueue) dropOldest(keep int) (dropped int) {
	var rest []queued
	rest, dropped = dropOldest(o.frames[o.head:], &o.bytes, keep)
	o.frames = o.frames[:o.head+len(rest)]
	if len(rest) == 0 {
		o.frames, o.head = o.frames[:0], 0
	}
	return dropped
}

// dropOldest takes the oldest frames that weren't asked for out of a queue, in its own memory,
// until bytes is at most keep.
func dropOldest(queue []queued, bytes *int, keep int) (rest []queued, dropped int) {
	rest = queue[:0]
	for _, q := range queue {
		if !q.asked && *bytes > keep {
			*bytes -= len(q.frame.wire)
			dropped++
			continue
		}
		rest = append(rest, q)
	}
	clear(queue[len(rest):])
	return rest, dropped
}

// forget empties the queue; a frame in progress stays.
func (o *sendQueue) forget() {
	clear(o.frames)
	o.frames, o.head, o.bytes, o.asked = o.frames[:0], 0, 0, 0
}

// drained is true when nothing is owed to a client that stands at pos.
func (o *sendQueue) drained(f *broadcastLog, pos uint64) bool {
	return o.part == nil && o.queuedLen() == 0 && (pos >= f.end || pos >= o.stop)
}
