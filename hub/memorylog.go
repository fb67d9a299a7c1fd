package hub

import (
	"context"
	"sync"
	"time"

	"github.com/busbar-ws/busbar/internal/dedup"
	"github.com/busbar-ws/busbar/internal/memory"
)

// DefaultLogEvents is what NewMemoryLog takes zero for.
const DefaultLogEvents = 10_000

// MemoryLog is a ChangeLog that ends with the process. It is safe from any goroutine.
type MemoryLog struct {
	mu      sync.Mutex // held until the follower has had what is appended
	tail    *Tail
	opIDs   *dedup.Seqs
	deliver func([]Entry)
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
	return &MemoryLog{
		tail: NewTail(maxEvents, maxBytes, LogStart(time.Now())), opIDs: dedup.New(dedup.Limit, dedup.Age),
		deliver: func([]Entry) {},
	}
}

// LogStart is what a log that is new at that time begins behind: the Unix time in microseconds. A log
// would have to take a million events a second for its seqs to get ahead of the clock.
func LogStart(now time.Time) uint64 { return uint64(max(now.UnixMicro(), 0)) }

// Resume lets an empty log go on behind seq last, as the successor of a log that has given
// out seqs up to there. It is called before anything else.
func (l *MemoryLog) Resume(last uint64) {
	l.tail = NewTail(l.tail.maxEvents, l.tail.maxBytes, last)
}

// Follow has deliver called by whoever appends.
func (l *MemoryLog) Follow(deliver func([]Entry)) { l.deliver = deliver }

// Append fails for a Seq that doesn't rise alone. An event larger than the whole log isn't kept.
func (l *MemoryLog) Append(changes []Change) ([]Appended, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.opIDs.Expire(now)
	results, entries, err := l.tail.Bounds().Number(changes, l.opIDs.Seen)
	if err != nil {
		return nil, err
	}
	for i := range changes {
		l.opIDs.Add(changes[i].OpID, results[i].Seq, now)
	}
	l.tail.Add(entries...)
	l.deliver(entries)
	return results, nil
}

// Range never looks at ctx: it doesn't wait for anything.
func (l *MemoryLog) Range(_ context.Context, since uint64, limit int) (Page, error) {
	for {
		bounds := l.tail.Bounds()
		from, err := bounds.From(since)
		if err != nil {
			return Page{}, err
		}
		if page, ok := l.tail.Read(from, limit); ok {
			return page, nil
		} // it was let go of just now
	}
}

// Kept is how many bytes of frames the log keeps, under its own bound.
func (l *MemoryLog) Kept() int64 { return l.tail.Kept() }

// Bounds are what is in memory.
func (l *MemoryLog) Bounds() Bounds { return l.tail.Bounds() }
