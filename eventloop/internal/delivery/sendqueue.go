package delivery

import (
	"math"
	"slices"

	"github.com/busbar-ws/busbar/eventloop/internal/budget"
)

// SendQueue is what a client is owed beyond the loop's broadcast log. A client that has taken
// everything has none; it is made when something is queued for that client alone or
// when a send came up short, and is of no use when it is empty. Owned by the client's loop.
//
// A queued frame's place is the position in the broadcast log that it goes out before.
type SendQueue struct {
	queue

	// part[sent:] is the rest of a frame that the kernel took only in part. It
	// goes before anything else, wherever the frame came from, and keeps its frame
	// alive when the broadcast log has moved on.
	part *Frame
	sent int

	form Form // of what goes out; it never changes while something is owed

	stop   uint64 // the broadcast log position that the client gets no further than
	pinned bool   // nothing behind the part goes out

	told *Frame // the last frame that told of a loss; it may stand in the queue still

	Lag
}

// sendQueueBytes is what a SendQueue takes beside its queue, with what the loop knows of the client's lag.
const sendQueueBytes = 128

// Begin makes the queue one of a client that is sent messages in that form, and counts it. It is called
// for a new one, and after End.
func (o *SendQueue) Begin(b *budget.Budget, as Form) {
	*o = SendQueue{queue: queue{frames: o.frames, budget: b}, form: as, stop: math.MaxUint64}
	b.Add(budget.Queues, sendQueueBytes)
	o.countPlaces()
}

// End lets go of all that is owed.
func (o *SendQueue) End() {
	o.budget.Add(budget.Queues, -sendQueueBytes)
	o.empty()
	o.uncount()
	const keep = 64
	if cap(o.frames) > keep {
		o.frames = nil
	}
	o.part, o.told = nil, nil
}

// Push owes f behind what stands in the broadcast log before a position. What the client has asked for
// isn't held against it as falling behind.
func (o *SendQueue) Push(f *Frame, at uint64, asked bool) { o.add(queued{f, at, asked}) }

// Continue owes the rest of a frame of which so many bytes are out, to a client that was owed nothing.
func (o *SendQueue) Continue(f *Frame, sent int) { o.part, o.sent = f, sent }

// Replace owes f instead of everything but the rest of the part, and no broadcast behind it.
func (o *SendQueue) Replace(f *Frame) {
	o.empty()
	o.stop = 0
	o.Push(f, 0, false)
}

// Tell owes f, which tells a client at pos of a loss, before everything that isn't in progress.
func (o *SendQueue) Tell(f *Frame, pos uint64) {
	f.seal()
	if o.head == 0 {
		o.frames = slices.Insert(o.frames, 0, queued{})
	} else {
		o.head--
	}
	o.frames[o.head] = queued{f, pos, false}
	o.bytes += len(f.wire)
	o.countPlaces()
	o.told = f
}

// Tells is whether what comes next tells of a loss.
func (o *SendQueue) Tells() bool { return o.Len() > 0 && o.frames[o.head].frame == o.told }

// StopAt has the client get no further in the broadcast log than a position.
func (o *SendQueue) StopAt(pos uint64) { o.stop = pos }

// Stops is whether a client at pos is to get no more of the broadcast log.
func (o *SendQueue) Stops(pos uint64) bool { return pos >= o.stop }

// Follow has the client get everything of the broadcast log again.
func (o *SendQueue) Follow() { o.stop, o.pinned = math.MaxUint64, false }

// Pin has nothing go out behind the part; no broadcast does after Unpin either, until Follow.
func (o *SendQueue) Pin() { o.stop, o.pinned = 0, true }

// Unpin lets the client's own frames go out again.
func (o *SendQueue) Unpin() { o.pinned = false }

// Held is whether nothing may go out because the client is pinned.
func (o *SendQueue) Held() bool { return o.pinned && o.part == nil }

// Drained is whether nothing is owed to a client that stands at pos.
func (o *SendQueue) Drained(log *BroadcastLog, pos uint64) bool {
	return o.part == nil && o.Len() == 0 && pos >= min(log.end, o.stop)
}

// next is the frame behind the part for a client at pos, of its own from head on or of the broadcast log.
func (o *SendQueue) next(log *BroadcastLog, pos uint64, head int) (f *Frame, own bool) {
	live := pos < min(log.end, o.stop)
	switch {
	case head < len(o.frames) && (!live || o.frames[head].at <= pos):
		return o.frames[head].frame, true
	case live:
		return log.At(pos), false
	}
	return nil, false
}

// What one gathering may take, before others have a turn.
const (
	gatherPieces = 64
	gatherBytes  = 256 << 10
)

// Gather puts what comes next for a client at pos into the memory of pieces, and says how many bytes it is.
func Gather[P any](pieces []P, piece func([]byte) P, o *SendQueue, log *BroadcastLog, pos uint64) (_ []P, size int) {
	pieces = pieces[:0]
	f, sent, head := o.part, o.sent, o.head
	for len(pieces) < gatherPieces && size < gatherBytes {
		if f == nil {
			if o.pinned {
				break
			}
			own := false
			if f, own = o.next(log, pos, head); own {
				head++
			} else if f != nil {
				pos++
			} else {
				break
			}
			sent = 0
		}
		p := f.In(o.form)[sent:]
		pieces = append(pieces, piece(p))
		size += len(p)
		f = nil
	}
	return pieces, size
}

// Take accounts for n bytes that the kernel took and returns the client's new
// position and how many frames were finished.
func (o *SendQueue) Take(log *BroadcastLog, pos uint64, n int) (newPos uint64, finished int) {
	for n > 0 {
		if o.part == nil {
			f, own := o.next(log, pos, o.head)
			if own {
				o.pop()
			} else {
				pos++
			}
			o.part, o.sent = f, 0
		}
		rest := len(o.part.In(o.form)) - o.sent
		if n < rest {
			o.sent += n
			break
		}
		n -= rest
		o.part = nil
		finished++
	}
	return pos, finished
}

// rest is what is still to go out of the part.
func (o *SendQueue) rest() []byte {
	if o.part == nil {
		return nil
	}
	return o.part.In(o.form)[o.sent:]
}

// Size is what the queue takes and keeps, without broadcasts.
func (o *SendQueue) Size() int64 { return int64(sendQueueBytes + o.bytes + o.asked + len(o.rest())) }

// Shorten keeps of the part what hasn't gone out, without its frame; false when that is more than most.
func (o *SendQueue) Shorten(most int) bool {
	switch rest := o.rest(); {
	case o.part == nil:
	case len(rest) > most:
		return false
	default:
		o.part, o.sent = FrameOf(slices.Clone(rest)), 0
	}
	return true
}

// LeaveOutEvents takes out of a pinned client's queue what the change log has too.
func (o *SendQueue) LeaveOutEvents() {
	kept := o.frames[o.head:]
	o.frames = nil
	o.empty()
	for _, n := range kept {
		if n.frame.Seq == 0 {
			o.add(queued{n.frame, 0, n.asked})
		}
	}
}
