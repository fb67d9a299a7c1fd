package hub

import (
	"context"
	"errors"

	"github.com/busbar-ws/busbar/eventloop"
)

// ChangeLog stores change events, gives them their seqs, and hands them to the hub in that
// order. An implementation is safe from any goroutine; package hub has MemoryLog.
//
// Seqs rise strictly, and may skip numbers: an entry says which one came before it. They
// stay below 2^53. A new log begins with the Unix time in microseconds, so that a cursor of
// the log before it is older than its oldest entry.
type ChangeLog interface {
	// Append stores changes in their order, and nothing of others between them. It returns
	// when they are as durable as the log makes them and the follower has had them, with a
	// result for each. A change whose OpID the log remembers isn't stored again. One with a
	// Seq keeps it (Bounds.Number). After an
	// error the results are those of the changes that were stored all the same, the first
	// ones. The changes' slices belong to the log.
	Append(changes []Change) ([]Appended, error)

	// Follow is called once, before the first Append. From then on deliver is called with
	// every entry that comes into the log, by whomever it was appended, in the order of
	// their seqs, by one goroutine at a time. An entry without JSON is no event: all up to its
	// Seq that wasn't delivered is lost to this hub.
	Follow(deliver func([]Entry))

	// Range reads at most limit entries with a seq above since, oldest first; none when
	// limit isn't positive. A *ResyncError says that the cursor is from the future, or
	// that events after it are gone. Zero is never too old: it is where a new client
	// starts, and is served from the oldest entry on. It may give entries that the follower
	// is about to get, but none above the page's Last.
	Range(ctx context.Context, since uint64, limit int) (Page, error)

	// Bounds are known at once: event loops ask for them.
	Bounds() Bounds
}

// ErrLogUnavailable is wrapped by the error of a ChangeLog that can't store anything now, and may
// later; ErrLogFull where there is no room for it. Nothing was stored, unless the error comes with results;
// a log that is on other machines may not know, and then an OpID makes it safe to try again.
var (
	ErrLogUnavailable = errors.New("the change log can't store anything now, try again later")
	ErrLogFull        = errors.New("the change log has no room left")
)

// Appended is what became of a change.
type Appended struct {
	Seq      uint64
	Repeated bool // its OpID was there before, and Seq is what it got then
}

// Bounds are what a log can give.
type Bounds struct {
	Oldest uint64 // seq of the oldest entry; Last+1 when there is none
	Last   uint64 // seq of the newest entry that there has been
	// Before is the seq of the entry before the oldest, or what the log began behind: the least cursor,
	// but for zero, that has missed nothing.
	Before uint64
	// Trimmed is true once entries have been let go of: then what is left can't seed a replica.
	Trimmed bool
}

// From is the seq that a reader with the cursor goes on behind, or a *ResyncError.
func (b Bounds) From(since uint64) (uint64, error) {
	if since > b.Last || since != 0 && since < b.Before {
		return 0, &ResyncError{OldestSeq: b.Oldest, Seq: b.Last}
	}
	return max(since, b.Before), nil
}

// next is the seq of a change that is appended to a log with these bounds, and the seq before it; a
// *SeqError when the change has one that doesn't rise. What was before the first that a publisher numbers
// itself, the log never had.
func (b Bounds) next(c *Change) (seq, prev uint64, err *SeqError) {
	switch {
	case c.Seq == 0:
		return b.Last + 1, b.Last, nil
	case c.Seq <= b.Last:
		return 0, 0, &SeqError{Seq: c.Seq, Before: b.Last, Last: b.Last}
	case b.Last == 0:
		return c.Seq, c.Seq - 1, nil
	}
	return c.Seq, b.Last, nil
}

// Number encodes changes that are appended to a log with these bounds, as entries that follow each other. Those
// whose OpID was seen before, or comes twice, are left out and answered with the first seq. After a *SeqError
// there is nothing to append.
func (b Bounds) Number(changes []Change, seen func(opID string) (seq uint64, ok bool)) (results []Appended, entries []Entry, err error) {
	results, entries = make([]Appended, len(changes)), make([]Entry, 0, len(changes))
	fresh := map[string]uint64{} // op ids of this call
	last := b.Last
	for i := range changes {
		c := &changes[i]
		seq, repeated := seen(c.OpID)
		if !repeated {
			seq, repeated = fresh[c.OpID]
		}
		if repeated {
			results[i] = Appended{Seq: seq, Repeated: true}
			continue
		}
		seq, prev, err := b.next(c)
		if err != nil {
			err.Last, err.Index = last, i
			return nil, nil, err
		}
		b.Last, results[i].Seq = seq, seq
		if c.OpID != "" {
			fresh[c.OpID] = seq
		}
		entries = append(entries, NewEntry(seq, prev, c))
	}
	return results, entries, nil
}

// Entry is one event in the log. It is immutable: its slices are shared by everyone who
// reads it.
type Entry struct {
	Seq      uint64
	Prev     uint64 // seq of the entry before it, or what the log began behind
	JSON     []byte // the Event, as EncodeEvent gives it
	Entity   string // the event's
	Audience Audience

	// frame is JSON as it goes out, when the log keeps it so. An event for a topic's
	// subscribers has no Seq there: it isn't caught up on, so it is never a repeat.
	frame *eventloop.Frame
}

// NewEntry encodes a change, once for all who will get it, as the entry that follows prev.
func NewEntry(seq, prev uint64, c *Change) Entry {
	e := Event{Seq: seq, Entity: c.Entity, RowID: c.RowID, Kind: c.Kind, Data: c.Data, Timestamp: c.Timestamp}
	entry := Entry{Seq: seq, Prev: prev, Entity: c.Entity, Audience: c.Audience, frame: eventloop.FrameOf(eventWire(&e))}
	if c.Audience.Topic == "" {
		entry.frame.Seq = seq
	} else {
		entry.frame.Kind = eventloop.KindTopic
	}
	entry.JSON = entry.frame.Payload() // the same bytes
	return entry
}

// Page is a part of the log, with the log's bounds at the moment it was read.
type Page struct {
	Entries []Entry
	Bounds
}
