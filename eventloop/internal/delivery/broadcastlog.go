package delivery

// BroadcastLog is a loop's log of broadcasts. Each frame for everyone gets the next position;
// a client is described by the position it stands at, not by a queue of its own.
// Owned by its loop; the zero value is an empty one.
//
// Frames live in a ring that grows by doubling. What stays in it is bounded by Trim.
type BroadcastLog struct {
	ring  []placed // length is a power of two, or 0
	first uint64   // position of the oldest frame that is still there
	end   uint64   // position that the next frame gets
	bytes int      // of frames from first to end, uncompressed
	total int64    // of all that there ever were

	largest uint64 // position of the largest of the frames, while there are any

	event uint64 // the newest event that has come, to everyone or to some
	gone  struct {
		event           uint64 // the newest event that was let go of
		eventEnd, other uint64 // the positions behind it, and behind the newest message besides that isn't lossy
	}
}

type placed struct {
	frame  *Frame
	before int64  // bytes of all frames before it
	event  uint64 // the newest event that came before it
}

// Len is how many frames there are.
func (g *BroadcastLog) Len() int { return int(g.end - g.first) }

// First is the position of the oldest frame that is still there.
func (g *BroadcastLog) First() uint64 { return g.first }

// End is the position that the next frame gets.
func (g *BroadcastLog) End() uint64 { return g.end }

// Bytes is how many bytes the frames have, uncompressed.
func (g *BroadcastLog) Bytes() int { return g.bytes }

func (g *BroadcastLog) slot(pos uint64) *placed { return &g.ring[pos&uint64(len(g.ring)-1)] }

// At is the frame at a position from First up to End.
func (g *BroadcastLog) At(pos uint64) *Frame { return g.slot(pos).frame }

func (g *BroadcastLog) size(pos uint64) int { return len(g.At(pos).wire) }

// Since is how many bytes stand from a position on.
func (g *BroadcastLog) Since(pos uint64) int64 {
	if pos >= g.end {
		return 0
	}
	return g.total - g.slot(max(pos, g.first)).before
}

// Append gives a frame the next position.
func (g *BroadcastLog) Append(f *Frame) {
	f.seal()
	if g.Len() == len(g.ring) {
		g.grow()
	}
	*g.slot(g.end) = placed{f, g.total, g.event}
	g.PassEvent(f.Seq)
	if g.Len() == 0 || len(f.wire) >= g.size(g.largest) {
		g.largest = g.end
	}
	g.end++
	g.bytes += len(f.wire)
	g.total += int64(len(f.wire))
}

// PassEvent notes an event that has come and isn't in the log, or nobody was here for.
func (g *BroadcastLog) PassEvent(seq uint64) { g.event = max(g.event, seq) }

// EventBefore is the newest event that came before what stands at a position from First up to End.
func (g *BroadcastLog) EventBefore(pos uint64) uint64 {
	if pos == g.end {
		return g.event
	}
	return g.slot(pos).event
}

// Gone is what was let go of from a position on: the newest event, 0 when there was none, and whether there
// were messages besides that aren't lossy.
func (g *BroadcastLog) Gone(pos uint64) (event uint64, others bool) {
	if g.gone.eventEnd > pos {
		event = g.gone.event
	}
	return event, g.gone.other > pos
}

func (g *BroadcastLog) grow() {
	bigger := BroadcastLog{ring: make([]placed, max(16, 2*len(g.ring)))}
	for pos := g.first; pos < g.end; pos++ {
		*bigger.slot(pos) = *g.slot(pos)
	}
	g.ring = bigger.ring
}

// Excess is how many bytes there are beside the largest frame: a client is never too far behind
// for one message.
func (g *BroadcastLog) Excess() int {
	if g.Len() == 0 {
		return 0
	}
	return g.bytes - g.size(g.largest)
}

// Trim lets go of the oldest frames until at most keep bytes are left beside the largest, and calls gone ahead of
// each.
func (g *BroadcastLog) Trim(keep int, gone func(pos uint64, f *Frame)) {
	for g.Excess() > keep {
		gone(g.first, g.At(g.first))
		g.drop()
	}
}

// DropBefore lets go of what stands before a position.
func (g *BroadcastLog) DropBefore(pos uint64) {
	for g.first < min(pos, g.end) {
		g.drop()
	}
}

// Forget lets go of everything: no client stands before the end.
func (g *BroadcastLog) Forget() {
	g.DropBefore(g.end)
	const idleRing = 1024
	if len(g.ring) > idleRing {
		g.ring = nil
	}
}

func (g *BroadcastLog) drop() {
	switch f := g.At(g.first); {
	case f.Seq > 0:
		g.gone.event, g.gone.eventEnd = f.Seq, g.first+1
	case !f.Lossy:
		g.gone.other = g.first + 1
	}
	g.bytes -= g.size(g.first)
	*g.slot(g.first) = placed{}
	g.first++
	if g.largest < g.first {
		g.largest = g.first
		for pos := g.first; pos < g.end; pos++ {
			if g.size(pos) >= g.size(g.largest) {
				g.largest = pos
			}
		}
	}
}
