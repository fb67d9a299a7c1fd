// Package logtest holds any hub.ChangeLog to what package hub says of one.
package logtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/hub"
)

// Kind is a log as the suite gets at it.
type Kind struct {
	// Open opens an empty log; each call another one. It ends with the test.
	Open    func(t *testing.T, o Options) Opened
	Ages    bool // whether it looks at Options.MaxAge
	Assigns bool // whether it numbers all changes itself, and refuses those with a seq
}

// Options are what the suite asks of a log. A zero bound is one that isn't reached.
type Options struct {
	MaxEvents int
	MaxAge    time.Duration
}

// Opened is a log and what can be done to it.
type Opened struct {
	Log hub.ChangeLog
	// Reopen closes the log and opens it with the same contents; nil where it ends with the process.
	Reopen func(Options) hub.ChangeLog
}

// Run runs the suite.
func Run(t *testing.T, k Kind) {
	for name, test := range map[string]func(*testing.T, Kind){
		"Order": order, "Batches": batches, "OpIDs": opIDs, "OpIDsTogether": opIDsTogether, "Range": ranges,
		"Retention": retention, "Contents": contents, "ManyGoroutines": manyGoroutines,
		"Fresh": fresh, "Reading": readingWhileTrimmed,
	} {
		t.Run(name, func(t *testing.T) { test(t, k) })
	}
	if !k.Assigns {
		t.Run("GivenSeqs", func(t *testing.T) { givenSeqs(t, k) })
	}
	if k.Ages {
		t.Run("Age", func(t *testing.T) { age(t, k) })
	}
	t.Run("Reopen", func(t *testing.T) {
		if k.Open(t, Options{}).Reopen == nil {
			return // it ends with the process
		}
		for name, test := range map[string]func(*testing.T, Kind){
			"Entries": reopened, "OpIDs": reopenedOpIDs, "Retention": reopenedRetention, "Smaller": reopenedSmaller, "Empty": reopenedEmpty,
		} {
			t.Run(name, func(t *testing.T) { test(t, k) })
		}
	})
}

// Change is one that says which it is.
func Change(id string) hub.Change {
	return hub.Change{Entity: "Todo", RowID: id, Kind: hub.Update, Data: []byte(`{"a":1}`), Timestamp: "1Z"}
}

func withOpID(id string) hub.Change {
	c := Change(id)
	c.OpID = id
	return c
}

// Changes are n of them.
func Changes(n int) []hub.Change {
	changes := make([]hub.Change, n)
	for i := range changes {
		changes[i] = Change(fmt.Sprint(i))
	}
	return changes
}

// Append appends and checks that the answers are as they have to be.
func Append(t *testing.T, l hub.ChangeLog, changes ...hub.Change) []hub.Appended {
	t.Helper()
	before := l.Bounds().Last
	done, err := l.Append(changes)
	if err != nil || len(done) != len(changes) {
		t.Fatalf("appending %d: got %d results, %v", len(changes), len(done), err)
	}
	for _, d := range done {
		if !d.Repeated && d.Seq <= before {
			t.Fatalf("seq %d behind %d", d.Seq, before)
		}
		before = max(before, d.Seq)
	}
	if last := l.Bounds().Last; last < before {
		t.Fatalf("%d was given out, and the last is %d", before, last)
	}
	return done
}

// All reads the log to its end, page by page, and checks that no entry is missing.
func All(t *testing.T, l hub.ChangeLog, since uint64, limit int) []hub.Entry {
	t.Helper()
	var all []hub.Entry
	for {
		p, err := Range(t, l, since, limit)
		if err != nil {
			t.Fatalf("reading behind %d: %v", since, err)
		}
		for _, e := range p.Entries {
			if e.Seq <= since || e.Prev > since && len(all) > 0 || len(all) > 0 && e.Prev != all[len(all)-1].Seq {
				t.Fatalf("entry %d, behind %d, comes behind %d", e.Seq, e.Prev, since)
			}
			if e.Seq > p.Last {
				t.Fatalf("entry %d is above the page's %d", e.Seq, p.Last)
			}
			since = e.Seq
			all = append(all, e)
		}
		if len(p.Entries) > limit {
			t.Fatalf("%d entries, at most %d were asked for", len(p.Entries), limit)
		}
		if since >= p.Last || len(p.Entries) == 0 {
			return all
		}
	}
}

// Range is the log's. Where a log is on other servers, these may have taken their time, or the connection was lost, which
// on a busy machine says nothing of the log: it is asked again until the test's patience ends. Others are never
// unavailable for reading, unless they are closed.
func Range(t *testing.T, l hub.ChangeLog, since uint64, limit int) (hub.Page, error) {
	t.Helper()
	for ctx := within(t); ; {
		p, err := l.Range(ctx, since, limit)
		if !errors.Is(err, hub.ErrLogUnavailable) {
			return p, err
		}
		select {
		case <-ctx.Done():
			return p, err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func seqsOf(entries []hub.Entry) []uint64 {
	seqs := make([]uint64, len(entries))
	for i, e := range entries {
		seqs[i] = e.Seq
	}
	return seqs
}

func seqsOfResults(done []hub.Appended) []uint64 {
	seqs := make([]uint64, len(done))
	for i, d := range done {
		seqs[i] = d.Seq
	}
	return seqs
}

// Follower notes what a log delivers. It is safe from any goroutine.
type Follower struct {
	t  *testing.T
	mu sync.Mutex

	entries []hub.Entry
}

// Follow has a follower follow the log.
func Follow(t *testing.T, l hub.ChangeLog) *Follower {
	f := &Follower{t: t}
	l.Follow(f.deliver)
	return f
}

func (f *Follower) deliver(entries []hub.Entry) {
	if !f.mu.TryLock() {
		f.t.Error("the follower is called by two at a time")
		return
	}
	defer f.mu.Unlock()
	for _, e := range entries {
		if n := len(f.entries); n > 0 && (e.Seq <= f.entries[n-1].Seq || e.Prev != f.entries[n-1].Seq) {
			f.t.Errorf("%d, behind %d, is delivered behind %d", e.Seq, e.Prev, f.entries[n-1].Seq)
		}
		f.entries = append(f.entries, e)
	}
}

// Seqs are those delivered. It isn't for when somebody appends.
func (f *Follower) Seqs() []uint64 { return seqsOf(f.entries) }

func isResync(err error) bool { return errors.As(err, new(*hub.ResyncError)) }
