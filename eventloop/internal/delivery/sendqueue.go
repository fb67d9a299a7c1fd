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

	stop   uint64 // the broadcast log position that the client gets no further than
	pinned bool   // nothing behind the part goes out
	form   Form   // of what goes out; it never changes while something is owed
	Began  uint32 // when the client fell behind; 0: it hasn't yet. By the caller's clock

	// lost is what the client isn't sent and hasn't been told of; From is 0 when that is nothing. told tells
	// of it: it is in the queue, or nil before it is made.
	lost Gap
	told *Frame
	// mark is the least seq that an event may have from the client's position on in the broadcast log, as of when
	// it last waited: the log may have let go of that since.
	mark uint64

	Lag
}

// Partial is whether a message is in progress.
func (o *SendQueue) Partial() bool { return o.part != nil }

// Owed is how many messages there are beside the broadcast log, one in progress included, and their bytes.
func (o *SendQueue) Owed() (messages int, bytes int64) {
	messages, bytes = o.Len(), int64(o.bytes+o.asked)
	if o.part != nil {
		messages, bytes = messages+1, bytes+int64(max(len(o.part.In(o.form))-o.sent, 0))
	}
	return messages, bytes
}

// StopsAt is the position in the broadcast log, up to its end, that the client gets no further than.
func (o *SendQueue) StopsAt(end uint64) uint64 { return min(end, o.stop) }

// UnsentWhole is Unsent with an event that is in progress.
func (o *SendQueue) UnsentWhole(log *BroadcastLog, pos uint64) uint64 {
	if o.part != nil && o.part.Seq > 0 {
		return o.part.Seq
	}
	return o.Unsent(log, pos)
}

// LostEvents are the events that the client isn't sent and hasn't been told of.
func (o *SendQueue) LostEvents() Gap { return o.lost }

// Gap is a stretch of change events that a client isn't sent, both ends included. There is none in it when
// To is below From: what it is about then stands behind the event To.
type Gap struct{ From, To uint64 }

// Empty is whether there are no events in it. The zero value is empty.
func (g Gap) Empty() bool { return g.From == 0 || g.To < g.From }

// Around is the least gap with all of both in it.
func (g Gap) Around(o Gap) Gap {
	switch {
	case g.Empty():
		return o
	case o.Empty():
		return g
	}
	return Gap{From: min(g.From, o.From), To: max(g.To, o.To)}
}

// sendQueueBytes is what a SendQueue takes beside its queue, with what the loop knows of the client's lag.
const sendQueueBytes = 160

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
	o.part, o.told, o.lost = nil, nil, Gap{}
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

// Mark notes what comes next for a client at pos in the broadcast log, which may let go of that.
func (o *SendQueue) Mark(log *BroadcastLog, pos uint64) { o.mark = log.EventBefore(pos) + 1 }

// Unsent is the least seq that an event which isn't out yet may have, for a client at pos. What it has
// asked for apart: that comes before.
func (o *SendQueue) Unsent(log *BroadcastLog, pos uint64) uint64 {
	next := o.mark
	if pos >= log.first {
		next = log.EventBefore(pos) + 1
	}
	for _, n := range o.frames[o.head:] {
		if n.frame.Seq > 0 && !n.asked {
			return min(next, n.frame.Seq)
		}
	}
	return next
}

// Lose has a client at pos get nothing of the broadcast log before cut, and no event that it hasn't asked for up to the
// last of those that are lost, 0 when none is. The first of them is noted too when it isn't 0, and else the first that
// isn't out. It returns the client's position from here on, and how many messages went.
// What was lost before, and the client hasn't been told of, is a part of the same loss: whatever stands between goes too.
func (o *SendQueue) Lose(log *BroadcastLog, pos, cut uint64, lost Gap) (newPos uint64, dropped int) {
	from, to := o.Unsent(log, pos), lost.To
	if lost.From > 0 {
		from = min(from, lost.From)
	}
	newPos = max(pos, cut)
	if o.lost.From > 0 {
		from, to = min(from, o.lost.From), max(to, o.lost.To)
		at, _ := o.toldAt()
		newPos = max(newPos, at)
	}
	o.untell()
	dropped = int(newPos-pos) + o.filter(func(n queued) bool { return n.asked || n.frame.Seq == 0 || n.frame.Seq > to })
	o.lost = Gap{from, max(to, from-1)}
	o.mark = max(o.mark, to+1)
	if newPos >= log.first {
		o.Mark(log, newPos)
	}
	return newPos, dropped
}

// untell takes what tells of a loss out of the queue: it tells too little.
func (o *SendQueue) untell() {
	if o.told != nil {
		o.filter(func(n queued) bool { return n.frame != o.told })
		o.told = nil
	}
}

// Untell takes what tells of a loss out of the queue, and is whether there was any.
func (o *SendQueue) Untell() (told bool) {
	told = o.told != nil
	o.untell()
	o.lost = Gap{}
	return told
}

// HasEvents is whether there are events in the queue that the client hasn't asked for.
func (o *SendQueue) HasEvents() bool {
	return slices.ContainsFunc(o.frames[o.head:], func(n queued) bool { return n.frame.Seq > 0 && !n.asked })
}

// DropOldest takes the oldest frames out of the queue until at most keep bytes are left, whatever tells of a loss
// included. What the client asked for stays.
func (o *SendQueue) DropOldest(keep int) Dropped {
	d := o.queue.DropOldest(keep)
	if _, still := o.toldAt(); !still {
		o.told, o.lost = nil, Gap{}
	}
	return d
}

// toldAt is the place of the frame that tells of a loss, when it is in the queue.
func (o *SendQueue) toldAt() (at uint64, there bool) {
	for _, n := range o.frames[o.head:] {
		if n.frame == o.told {
			return n.at, true
		}
	}
	return 0, false
}

// LoseOldest is DropOldest for a client at pos, which is to be told of it when Untold says so. What is older than an event
// that goes, and for everyone, goes with it.
func (o *SendQueue) LoseOldest(log *BroadcastLog, pos uint64, keep int) (newPos uint64, d Dropped) {
	next := o.Unsent(log, pos)
	at, tells := o.toldAt()
	d = o.queue.DropOldest(keep)
	cut := d.At
	if _, still := o.toldAt(); tells && !still {
		o.told, cut = nil, max(cut, at) // and whatever stood before it
	} else if d.Event == 0 {
		return pos, d
	}
	if o.lost.From == 0 {
		o.lost = Gap{next, next - 1}
	}
	o.lost.From = min(next, o.lost.From)
	newPos, more := o.Lose(log, pos, cut, Gap{To: d.Event})
	d.Frames += more
	return newPos, d
}

// Lost is what the client is to be told of; it is noted if nothing was.
func (o *SendQueue) Lost(log *BroadcastLog, pos uint64) Gap {
	if o.lost.From == 0 {
		next := o.Unsent(log, pos)
		o.lost = Gap{next, next - 1}
	}
	return o.lost
}

// Untold is whether there is a loss of which no frame in the queue tells.
func (o *SendQueue) Untold() bool { return o.lost.From > 0 && o.told == nil }

// Telling is whether a frame in the queue tells of a loss.
func (o *SendQueue) Telling() bool { return o.told != nil }

// Tell owes f, which tells a client at pos of what it has lost, ahead of all but what is in progress and the events that it
// has asked for.
func (o *SendQueue) Tell(f *Frame, pos uint64) {
	o.untell()
	f.seal()
	o.frames = slices.Insert(o.frames, o.head+o.askedEvents(), queued{f, pos, false})
	o.bytes += len(f.wire)
	o.countPlaces()
	o.told = f
}

// askedEvents is how many frames of the queue there are up to the last event that the client has asked for.
func (o *SendQueue) askedEvents() (n int) {
	for i, q := range o.frames[o.head:] {
		if q.asked && q.frame.Seq > 0 {
			n = i + 1
		}
	}
	return n
}

// TellBehind owes f, which tells of a gap behind all that the client is owed. There is no other to be told of.
func (o *SendQueue) TellBehind(f *Frame, at uint64, lost Gap) {
	o.Push(f, at, false)
	o.told, o.lost = f, lost
}

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
				if o.pop(); f == o.told {
					o.told, o.lost = nil, Gap{}
				}
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
		seq, kind := o.part.Seq, o.part.Kind
		o.part, o.sent = FrameOf(slices.Clone(rest)), 0
		o.part.Seq, o.part.Kind = seq, kind
	}
	return true
}

// LeaveOutEvents takes out of a pinned client's queue what the change log has too.
func (o *SendQueue) LeaveOutEvents() {
	o.filter(func(n queued) bool { return n.frame.Seq == 0 })
	for i := range o.frames {
		o.frames[i].at = 0
	}
}
