package hub

import (
	"sort"
	"sync"
	"sync/atomic"
)

// entryOverhead is what an entry takes besides its strings: its place in the ring, and
// the allocator's rounding.
const entryOverhead = 160

// Tail is the newest entries of a log, in memory: a ChangeLog serves nearly all reads from
// it. It is safe from any goroutine.
type Tail struct {
	maxEvents int
	maxBytes  int

	mu     sync.RWMutex
	bounds Bounds
	bytes  int
	// kept is the frames' share of that, as the event loops count them.
	kept atomic.Int64

	ring  []Entry // by seq; grows on demand up to maxEvents
	first int     // position of the oldest
	count int
}

// NewTail makes an empty tail of a log that has given out seqs up to last. It keeps at most so many
// events and bytes (of encoded events, audiences and what keeping them costs); the oldest go first.
func NewTail(maxEvents, maxBytes int, last uint64) *Tail {
	return &Tail{maxEvents: maxEvents, maxBytes: maxBytes, bounds: Bounds{Oldest: last + 1, Last: last, Before: last}}
}

// Add takes entries with rising seqs. What is before a loss goes: before one that doesn't follow on the
// last, and before one that is larger than the whole tail, which isn't kept either.
func (t *Tail) Add(entries ...Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range entries {
		t.add(&entries[i])
	}
}

func (t *Tail) add(e *Entry) {
	for t.count > 0 && e.Prev > t.bounds.Last {
		t.dropOldest()
	}
	if t.count == t.maxEvents {
		t.dropOldest()
	}
	t.grow()
	kept := t.at(t.count)
	if *kept = *e; kept.frame == nil { // it was read from a store
		kept.frame = eventFrame(e)
		kept.JSON = kept.frame.Payload() // the same bytes
	}
	t.count++
	t.bytes += e.size()
	t.kept.Add(kept.frame.Footprint())
	if t.count == 1 {
		t.bounds.Trimmed = t.bounds.Trimmed || e.Prev != t.bounds.Last
		t.bounds.Oldest, t.bounds.Before = e.Seq, e.Prev
	}
	t.bounds.Last = e.Seq
	for t.bytes > t.maxBytes {
		t.dropOldest()
	}
}

// Skip lets go of all entries, and goes on behind seq last: what there was up to it won't come.
func (t *Tail) Skip(last uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.count > 0 {
		t.dropOldest()
	}
	t.bounds = Bounds{Oldest: last + 1, Last: last, Before: last, Trimmed: true}
}

// Read gives at most limit entries that follow on seq since. ok is false when some of them may be gone.
func (t *Tail) Read(since uint64, limit int) (p Page, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	p.Bounds = t.bounds
	if since < t.bounds.Before {
		return p, false
	}
	from := sort.Search(t.count, func(i int) bool { return t.at(i).Seq > since })
	n := min(t.count-from, max(limit, 0))
	if n <= 0 {
		return p, true
	}
	p.Entries = make([]Entry, n)
	start := (t.first + from) % len(t.ring)
	copied := copy(p.Entries, t.ring[start:])
	copy(p.Entries[copied:], t.ring)
	return p, true
}

// Kept is how many bytes of frames the tail keeps, under its own bound.
func (t *Tail) Kept() int64 { return t.kept.Load() }

// Bounds are the tail's own.
func (t *Tail) Bounds() Bounds {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.bounds
}

// at is entry i, the oldest being 0, or the place for it.
func (t *Tail) at(i int) *Entry { return &t.ring[(t.first+i)%len(t.ring)] }

func (t *Tail) dropOldest() {
	oldest := t.at(0)
	t.bytes -= oldest.size()
	t.kept.Add(-oldest.frame.Footprint())
	t.bounds.Before, t.bounds.Oldest, t.bounds.Trimmed = oldest.Seq, t.bounds.Last+1, true
	*oldest = Entry{}
	t.first = (t.first + 1) % len(t.ring)
	t.count--
	if t.count > 0 {
		t.bounds.Oldest = t.at(0).Seq
	}
}

// grow makes room for one more entry.
func (t *Tail) grow() {
	if t.count < len(t.ring) {
		return
	}
	ring := make([]Entry, min(max(2*len(t.ring), 16), t.maxEvents))
	copied := copy(ring, t.ring[t.first:])
	copy(ring[copied:], t.ring[:t.first])
	t.ring, t.first = ring, 0
}

// size is what keeping the entry costs, in bytes.
func (e *Entry) size() int {
	bytes := entryOverhead + len(e.JSON) + len(e.Audience.Tenant) + len(e.Audience.Topic)
	for _, user := range e.Audience.Users {
		bytes += 16 + len(user) // 16 for the string header
	}
	return bytes
}
