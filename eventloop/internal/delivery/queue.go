package delivery

import "github.com/busbar-ws/busbar/eventloop/internal/budget"

// queue is frames for one client alone. Owned by the client's loop.
type queue struct {
	frames []queued // oldest at head
	head   int
	// Uncompressed, so that clients of either form are slow at the same place.
	bytes int // from head on, without
	asked int // those that the client asked for: snapshots and events that it missed

	kept int // bytes that the last look for what is superseded left, or the least that there were since

	budget *budget.Budget // nil: nobody counts
	places int            // in frames, that the budget knows of
}

// queued is a frame, and its place among those that aren't in the queue.
type queued struct {
	frame *Frame
	at    uint64
	asked bool
}

// queuedBytes is what a place in a queue takes.
const queuedBytes = 24

// Len is how many frames there are.
func (q *queue) Len() int { return len(q.frames) - q.head }

// Bytes is how many bytes they have, without those that the client asked for.
func (q *queue) Bytes() int { return q.bytes }

// Asked is how many bytes those have that the client asked for.
func (q *queue) Asked() int { return q.asked }

func (q *queue) bytesOf(n queued) *int {
	if n.asked {
		return &q.asked
	}
	return &q.bytes
}

func (q *queue) add(n queued) {
	n.frame.seal()
	if q.head > 32 && q.head > len(q.frames)/2 { // who always has more to come never empties it
		q.setFrames(q.frames[:copy(q.frames, q.frames[q.head:])])
	}
	q.frames = append(q.frames, n)
	*q.bytesOf(n) += len(n.frame.wire)
	q.countPlaces()
}

// setFrames has the queue begin with its memory, of which it lets go what is behind frames.
func (q *queue) setFrames(frames []queued) {
	clear(q.frames[len(frames):])
	q.frames, q.head = frames, 0
}

// countPlaces has the budget know of how long the queue has become.
func (q *queue) countPlaces() {
	if now := cap(q.frames); now != q.places && q.budget != nil {
		q.budget.Add(budget.Queues, int64(now-q.places)*queuedBytes)
		q.places = now
	}
}

func (q *queue) pop() *Frame {
	n := q.frames[q.head]
	q.frames[q.head] = queued{}
	q.head++
	*q.bytesOf(n) -= len(n.frame.wire)
	if q.head == len(q.frames) {
		q.frames, q.head = q.frames[:0], 0
	}
	return n.frame
}

// TooMuch is whether more than limit waits in the queue that the client hasn't asked for, with another
// frame of size bytes and without the largest of all.
func (q *queue) TooMuch(size, limit int) bool {
	if q.bytes+size <= limit {
		return false
	}
	largest := size
	for _, n := range q.frames[q.head:] {
		if !n.asked {
			largest = max(largest, len(n.frame.wire))
		}
	}
	return q.bytes+size-largest > limit
}

// unlooked is how many bytes wait at least before anybody looks for what is superseded.
const unlooked = 4 << 10

// Fits is whether no more than limit waits in a lagging client's queue with f, as TooMuch has it, once those frames of
// rows are gone that f or another snapshot behind them supersedes. They go when that is so, and when there is a snapshot
// and twice as much waits as the last time: a queue is never walked for a few frames.
func (q *queue) Fits(f *Frame, limit int) (fits bool, superseded int) {
	if q.TooMuch(len(f.wire), limit) {
		superseded = q.supersede(f)
		return !q.TooMuch(len(f.wire), limit-limit/8), superseded
	}
	if q.kept = min(q.kept, q.bytes); f.Row != nil && f.Row.Snapshot && q.bytes >= 2*q.kept+unlooked {
		superseded = q.supersede(f)
	}
	return true, superseded
}

// supersede takes frames of rows out of the queue of which it has newer snapshots, or f, which comes behind all, is
// one. What the client asked for stays.
func (q *queue) supersede(f *Frame) (taken int) {
	newest := make(map[string]uint64) // versions of rows' snapshots
	note := func(f *Frame) {
		if r := f.Row; r != nil && r.Snapshot {
			newest[r.Row] = max(newest[r.Row], r.Version)
		}
	}
	for _, n := range q.frames[q.head:] {
		note(n.frame)
	}
	if note(f); len(newest) > 0 {
		taken = q.filter(func(n queued) bool {
			return n.asked || n.frame.Row == nil || n.frame.Row.Version >= newest[n.frame.Row.Row]
		})
	}
	q.kept = q.bytes
	return taken
}

// Dropped is what DropOldest took out of a queue.
type Dropped struct {
	Frames    int
	Others    bool   // some were neither events nor lossy
	Event, At uint64 // the newest event, 0 when there was none, and its place
}

// DropOldest takes the oldest frames out of the queue until at most keep bytes are left. What the client
// asked for stays.
func (q *queue) DropOldest(keep int) (d Dropped) {
	q.filter(func(n queued) bool {
		if n.asked || q.bytes <= keep {
			return true
		}
		d.Frames++
		if n.frame.Seq > 0 {
			d.Event, d.At = n.frame.Seq, n.at
		} else {
			d.Others = d.Others || !n.frame.Lossy
		}
		return false
	})
	return d
}

// filter takes out of the queue the frames that aren't to stay, and returns how many they were.
func (q *queue) filter(stays func(queued) bool) (taken int) {
	rest := q.frames[:0]
	for _, n := range q.frames[q.head:] {
		if stays(n) {
			rest = append(rest, n)
			continue
		}
		*q.bytesOf(n) -= len(n.frame.wire)
		taken++
	}
	q.setFrames(rest)
	return taken
}

// empty lets go of the frames.
func (q *queue) empty() {
	q.setFrames(q.frames[:0])
	q.bytes, q.asked = 0, 0
}

// uncount takes the queue's places out of the budget: it isn't used any more.
func (q *queue) uncount() {
	if q.budget != nil {
		q.budget.Add(budget.Queues, -int64(q.places)*queuedBytes)
	}
	q.places, q.budget = 0, nil
}
