package hub

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/internal/memory"
)

// DefaultLogEvents is what NewMemoryLog takes zero for.
const DefaultLogEvents = 10_000

// entryOverhead is what an entry takes besides its strings: its place in the ring, and
// the allocator's rounding.
const entryOverhead = 128

// MemoryLog is a ChangeLog that ends with the process. It is safe from any goroutine.
//
// Its next life starts at seq 1 again, unless it is told by Resume where the one before
// ended: then a cursor from that life that has missed something gets a ResyncError.
type MemoryLog struct {
	maxEvents int
	maxBytes  int

	mu    sync.RWMutex
	last  uint64
	bytes int
	// kept is the frames' share of that, as the event loops count them.
	kept atomic.Int64

	// ring grows on demand up to maxEvents. Invariant: the entries have consecutive
	// seqs, ending with last; a gap would make Range return the wrong events, because
	// it finds them by arithmetic.
	ring  []Entry
	first int // position of the oldest
	count int
}

var _ ChangeLog = (*MemoryLog)(nil)

// NewMemoryLog makes an empty log that keeps at most so many events and bytes (of
// encoded events, audiences and what keeping them costs). The oldest go first. Zero or
// less means DefaultLogEvents, and 64 MiB or a 16th of the memory where that is less.
func NewMemoryLog(maxEvents, maxBytes int) *MemoryLog {
	if maxEvents <= 0 {
		maxEvents = DefaultLogEvents
	}
	if maxBytes <= 0 {
		maxBytes = memory.Defaults().Log
	}
	return &MemoryLog{maxEvents: maxEvents, maxBytes: maxBytes}
}

// Resume lets an empty log go on behind seq last, as the successor of a log that has given
// out seqs up to there. It does nothing once something was appended.
func (l *MemoryLog) Resume(last uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == 0 {
		l.last = last
	}
}

// Append never fails. An event larger than the whole log is returned and not kept.
func (l *MemoryLog) Append(e Event, a Audience) (Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	e.Seq = l.last
	entry := Entry{Seq: e.Seq, Audience: a, frame: eventloop.FrameOf(eventWire(&e))}
	if a.Topic == "" {
		entry.frame.Seq = e.Seq
	}
	entry.JSON = entry.frame.Payload() // the same bytes
	if l.count == l.maxEvents {
		l.dropOldest()
	}
	l.grow()
	l.ring[(l.first+l.count)%len(l.ring)] = entry
	l.count++
	l.bytes += entry.size()
	l.kept.Add(entry.frame.Footprint())
	for l.bytes > l.maxBytes {
		l.dropOldest()
	}
	return entry, nil
}

// Range never looks at ctx: it doesn't wait for anything.
func (l *MemoryLog) Range(_ context.Context, since uint64, limit int) (Page, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	page := Page{Oldest: l.oldest(), Last: l.last}
	// Newer than the last first: since+1 wraps around for the largest cursor.
	if since > page.Last || (since != 0 && since+1 < page.Oldest) {
		return Page{}, &ResyncError{OldestSeq: page.Oldest, Seq: page.Last}
	}
	from := max(since+1, page.Oldest)
	n := min(int(page.Last+1-from), max(limit, 0))
	if n == 0 {
		return page, nil
	}
	page.Entries = make([]Entry, n)
	start := (l.first + int(from-page.Oldest)) % len(l.ring)
	copied := copy(page.Entries, l.ring[start:])
	copy(page.Entries[copied:], l.ring)
	return page, nil
}

// Kept is how many bytes of frames the log keeps, under its own bound.
func (l *MemoryLog) Kept() int64 { return l.kept.Load() }

// Last is the newest seq.
func (l *MemoryLog) Last() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.last
}

// Oldest is the oldest seq that is kept, Last()+1 when none is.
func (l *MemoryLog) Oldest() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.oldest()
}

func (l *MemoryLog) oldest() uint64 { return l.last + 1 - uint64(l.count) }

func (l *MemoryLog) dropOldest() {
	l.bytes -= l.ring[l.first].size()
	l.kept.Add(-l.ring[l.first].frame.Footprint())
	l.ring[l.first] = Entry{}
	l.first = (l.first + 1) % len(l.ring)
	l.count--
}

// grow makes room for one more entry.
func (l *MemoryLog) grow() {
	if l.count < len(l.ring) {
		return
	}
	ring := make([]Entry, min(max(2*len(l.ring), 16), l.maxEvents))
	copied := copy(ring, l.ring[l.first:])
	copy(ring[copied:], l.ring[:l.first])
	l.ring, l.first = ring, 0
}

// size is what keeping the entry costs, in bytes.
func (e *Entry) size() int {
	bytes := entryOverhead + len(e.JSON) + len(e.Audience.Tenant) + len(e.Audience.Topic)
	for _, user := range e.Audience.Users {
		bytes += 16 + len(user) // 16 for the string header
	}
	return bytes
}
