package logtest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/hub"
)

// order: seqs rise, the follower has each entry before its publisher has the answer, and what is read
// is what was delivered.
func order(t *testing.T, k Kind) {
	l := k.Open(t, Options{}).Log
	f := Follow(t, l)
	var seqs []uint64
	for i := range 50 {
		seqs = append(seqs, Append(t, l, Change(fmt.Sprint(i)))[0].Seq)
		if !slices.Equal(f.Seqs(), seqs) {
			t.Fatalf("appended %v, delivered %v", seqs, f.Seqs())
		}
	}
	for _, limit := range []int{1, 7, 50, 1000} {
		if got := seqsOf(All(t, l, 0, limit)); !slices.Equal(got, seqs) {
			t.Errorf("read %v, appended %v", got, seqs)
		}
	}
	if b := l.Bounds(); b.Oldest != seqs[0] || b.Last != seqs[49] || b.Trimmed {
		t.Errorf("%+v", b)
	}
}

// batches: those of one call are together, whoever else appends.
func batches(t *testing.T, k Kind) {
	l := k.Open(t, Options{}).Log
	f := Follow(t, l)
	var all sync.WaitGroup
	for p := range 4 {
		all.Go(func() {
			for b := range 20 {
				changes := Changes(10)
				for i := range changes {
					changes[i].Entity = fmt.Sprintf("%d/%d", p, b)
				}
				if done, err := l.Append(changes); err != nil || len(done) != len(changes) {
					t.Errorf("got %d results, %v", len(done), err)
				}
			}
		})
	}
	all.Wait()
	entries := All(t, l, 0, 333)
	if len(entries) != 800 || !slices.Equal(seqsOf(entries), f.Seqs()) {
		t.Fatalf("%d entries, %d delivered", len(entries), len(f.entries))
	}
	for i := 0; i < len(entries); i += 10 {
		for j := range 10 {
			if e := entries[i+j]; e.Entity != entries[i].Entity {
				t.Fatalf("%s is among %s", e.Entity, entries[i].Entity)
			}
		}
	}
}

// opIDs: the first seq is the answer, within a call too, and nothing is stored or delivered twice.
func opIDs(t *testing.T, k Kind) {
	l := k.Open(t, Options{}).Log
	f := Follow(t, l)
	first := Append(t, l, withOpID("a"), Change("1"), withOpID("a"), withOpID("b"))
	second := Append(t, l, withOpID("b"), withOpID("a"), Change("2"), Change("3"))
	third := Append(t, l, withOpID("a"))
	a, b := first[0].Seq, first[3].Seq
	if want := (hub.Appended{Seq: a, Repeated: true}); first[2] != want || second[1] != want || third[0] != want {
		t.Errorf("a, at first %d: %+v %+v %+v", a, first, second, third)
	}
	if want := (hub.Appended{Seq: b, Repeated: true}); second[0] != want {
		t.Errorf("b, at first %d: %+v", b, second)
	}
	want := []uint64{a, first[1].Seq, b, second[2].Seq, second[3].Seq}
	if !slices.IsSorted(want) || !slices.Equal(f.Seqs(), want) || !slices.Equal(seqsOf(All(t, l, 0, 100)), want) {
		t.Errorf("want %v, delivered %v", want, f.Seqs())
	}
}

// opIDsTogether: of several that publish the same op at once, one does.
func opIDsTogether(t *testing.T, k Kind) {
	l := k.Open(t, Options{}).Log
	f := Follow(t, l)
	const publishers, ops = 8, 30
	var mu sync.Mutex
	firsts, seqs := map[string]int{}, map[string][]uint64{}
	var all sync.WaitGroup
	for range publishers {
		all.Go(func() {
			for i := range ops {
				id := fmt.Sprint("op", i)
				done, err := l.Append([]hub.Change{withOpID(id)})
				if err != nil || len(done) != 1 {
					t.Errorf("got %+v, %v", done, err)
					return
				}
				mu.Lock()
				if !done[0].Repeated {
					firsts[id]++
				}
				seqs[id] = append(seqs[id], done[0].Seq)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for id, n := range firsts {
		slices.Sort(seqs[id])
		if got := slices.Compact(seqs[id]); n != 1 || len(got) != 1 {
			t.Errorf("%s was the first %d times, and got %v", id, n, got)
		}
	}
	if len(f.entries) != ops || len(All(t, l, 0, 100)) != ops {
		t.Errorf("%d delivered", len(f.entries))
	}
}

// ranges: every edge.
func ranges(t *testing.T, k Kind) {
	l := k.Open(t, Options{MaxEvents: 10}).Log
	empty := l.Bounds()
	for since, resync := range map[uint64]bool{0: false, 1: empty.Before > 1, empty.Last: false, empty.Last + 1: true} {
		p, err := Range(t, l, since, 10)
		if isResync(err) != resync || !resync && (err != nil || len(p.Entries) != 0 || p.Bounds != empty) {
			t.Errorf("empty, since %d: %+v, %v; bounds are %+v", since, p, err, empty)
		}
	}
	var seqs []uint64
	for i := range 25 {
		seqs = append(seqs, Append(t, l, Change(fmt.Sprint(i)))[0].Seq)
	}
	b, kept := settled(t, l, 10), seqs[15:]
	if want := (hub.Bounds{Oldest: kept[0], Last: kept[9], Before: seqs[14], Trimmed: true}); b != want {
		t.Fatalf("%+v, want %+v", b, want)
	}
	for _, c := range []struct {
		since  uint64
		limit  int
		want   []uint64
		resync bool
	}{
		{0, 100, kept, false},
		{0, 3, kept[:3], false},
		{1, 100, nil, true},
		{seqs[13], 100, nil, true},
		{seqs[14], 100, kept, false},
		{kept[0], 100, kept[1:], false},
		{kept[4], 2, kept[5:7], false},
		{kept[8], 100, kept[9:], false},
		{kept[9], 100, nil, false},
		{kept[9] + 1, 100, nil, true},
		{math.MaxUint64, 100, nil, true},
		{kept[4], 0, nil, false},
		{kept[4], -1, nil, false},
	} {
		what := fmt.Sprintf("since %d, limit %d", c.since, c.limit)
		p, err := Range(t, l, c.since, c.limit)
		var resync *hub.ResyncError
		if errors.As(err, &resync) != c.resync || !c.resync && err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if c.resync && (resync.OldestSeq != b.Oldest || resync.Seq != b.Last) {
			t.Errorf("%s: %+v", what, resync)
		}
		if !c.resync && (!slices.Equal(seqsOf(p.Entries), c.want) || p.Bounds != b) {
			t.Errorf("%s: %v, %+v; want %v", what, seqsOf(p.Entries), p.Bounds, c.want)
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if p, err := l.Range(ended, 0, 10); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("for nobody: %+v, %v", p, err)
	}
}

// settled are the bounds once what is beyond so many events has gone, which may take a moment.
func settled(t *testing.T, l hub.ChangeLog, events int) hub.Bounds {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		b := l.Bounds()
		p, err := Range(t, l, 0, events+1)
		if err == nil && len(p.Entries) <= events && p.Bounds == b {
			return b
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d entries are kept, want %d; %v", len(p.Entries), events, err)
		}
		time.Sleep(time.Millisecond)
	}
}

// retention: the bound holds whatever the size of a batch, and no page lies about what is gone.
func retention(t *testing.T, k Kind) {
	l := k.Open(t, Options{MaxEvents: 100}).Log
	f := Follow(t, l)
	for _, n := range []int{1, 99, 1, 50, 350, 3} {
		done := seqsOfResults(Append(t, l, Changes(n)...))
		b := settled(t, l, 100)
		entries := All(t, l, 0, 37)
		if len(entries) != min(len(f.entries), 100) || entries[len(entries)-1].Seq != done[n-1] {
			t.Fatalf("after %d more: %d entries up to %d", n, len(entries), b.Last)
		}
		if b.Before != entries[0].Prev || b.Trimmed != (len(f.entries) > 100) {
			t.Fatalf("%+v, and the oldest is behind %d", b, entries[0].Prev)
		}
		if got := f.Seqs(); !slices.Equal(got[len(got)-len(entries):], seqsOf(entries)) {
			t.Fatal("not the newest are kept")
		}
	}
}

// age: what is too old goes, also when nobody appends, and its cursor is too old from then on.
func age(t *testing.T, k Kind) {
	l := k.Open(t, Options{MaxAge: 300 * time.Millisecond}).Log
	seq := Append(t, l, Change("1"), Change("2"))[1].Seq
	deadline := time.Now().Add(30 * time.Second)
	for b := l.Bounds(); b.Oldest <= seq; b = l.Bounds() {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", b)
		}
		time.Sleep(time.Millisecond)
	}
	if b, want := l.Bounds(), (hub.Bounds{Oldest: seq + 1, Last: seq, Before: seq, Trimmed: true}); b != want {
		t.Errorf("%+v, want %+v", b, want)
	}
	if p, err := Range(t, l, seq, 10); err != nil || len(p.Entries) != 0 {
		t.Errorf("who has it all: %+v, %v", p, err)
	}
	if _, err := Range(t, l, seq-1, 10); !isResync(err) {
		t.Errorf("who lacks one: %v", err)
	}
	if next := Append(t, l, Change("3"))[0].Seq; next <= seq {
		t.Errorf("%d behind %d", next, seq)
	}
}

// contents: an entry has what its change had.
func contents(t *testing.T, k Kind) {
	o := k.Open(t, Options{})
	f := Follow(t, o.Log)
	changes := contentChanges()
	seqs := seqsOfResults(Append(t, o.Log, changes...))
	check := func(entries []hub.Entry) {
		t.Helper()
		if len(entries) != len(changes) {
			t.Fatalf("%d entries of %d", len(entries), len(changes))
		}
		for i, e := range entries {
			c := &changes[i]
			want, err := hub.EncodeEvent(hub.Event{Seq: seqs[i], Entity: c.Entity, RowID: c.RowID, Kind: c.Kind, Data: c.Data, Timestamp: c.Timestamp})
			if err != nil || string(e.JSON) != string(want) || e.Entity != c.Entity {
				t.Errorf("got %s, want %s, %v", e.JSON, want, err)
			}
			if a, b := e.Audience, c.Audience; a.Tenant != b.Tenant || a.Topic != b.Topic || !slices.Equal(a.Users, b.Users) {
				t.Errorf("audience %+v, want %+v", a, b)
			}
		}
	}
	check(f.entries)
	check(All(t, o.Log, 0, 100))
	if o.Reopen != nil {
		check(All(t, o.Reopen(Options{}), 0, 100))
	}
}

func contentChanges() []hub.Change {
	large := make([]byte, 300_000)
	for i := range large {
		large[i] = '1'
	}
	changes := Changes(8)
	changes[1].Audience.Users = []string{"alice", "böb", ""}
	changes[2].Audience.Tenant = "acme <&> \u2028"
	changes[3].Audience.Topic = "a/b"
	changes[4].Kind, changes[4].Data = hub.Delete, nil
	changes[5].Data, changes[5].Entity = large, "größer"
	changes[6].RowID, changes[6].Data = "\u0000\"", []byte(`"\u0000"`)
	return changes
}

// manyGoroutines append and read at once.
func manyGoroutines(t *testing.T, k Kind) {
	l := k.Open(t, Options{MaxEvents: 50}).Log
	f := Follow(t, l)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			last := uint64(0)
			for range 50 {
				done, err := l.Append([]hub.Change{Change("x")})
				if err != nil || len(done) != 1 || done[0].Seq <= last {
					t.Errorf("got %+v, %v behind %d", done, err, last)
					return
				}
				last = done[0].Seq
				p, err := Range(t, l, 0, 10)
				if err != nil || len(p.Entries) == 0 || p.Entries[0].Seq < p.Oldest || p.Last < last {
					t.Errorf("got %+v, %v", p, err)
				}
			}
		})
	}
	all.Wait()
	if len(f.entries) != 400 {
		t.Errorf("%d delivered", len(f.entries))
	}
	b := settled(t, l, 50)
	if entries := All(t, l, 0, 7); len(entries) != 50 || entries[49].Seq != b.Last {
		t.Errorf("%d entries, %+v", len(entries), b)
	}
}

// readingWhileTrimmed: a reader that falls behind what is kept is told so, and sees no hole.
func readingWhileTrimmed(t *testing.T, k Kind) {
	l := k.Open(t, Options{MaxEvents: 30}).Log
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 200 {
			if _, err := l.Append(Changes(3)); err != nil {
				t.Errorf("appending: %v", err)
			}
		}
	}()
	cursor, resyncs := uint64(0), 0
	for end := false; ; {
		select {
		case <-done:
			end = true
		default:
		}
		p, err := Range(t, l, cursor, 5)
		if resync := (*hub.ResyncError)(nil); errors.As(err, &resync) {
			cursor, resyncs = 0, resyncs+1
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		for _, e := range p.Entries {
			if cursor != 0 && e.Prev != cursor {
				t.Fatalf("%d, behind %d, comes behind %d", e.Seq, e.Prev, cursor)
			}
			cursor = e.Seq
		}
		if end && cursor == l.Bounds().Last {
			break
		}
	}
	t.Logf("told to resync %d times", resyncs)
}

// givenSeqs are kept, with their gaps; a call with one that doesn't rise leaves nothing behind, and hurts nobody.
func givenSeqs(t *testing.T, k Kind) {
	o := k.Open(t, Options{})
	l := o.Log
	f := Follow(t, l)
	given := func(seq uint64, op string) hub.Change {
		c := Change("given")
		c.Seq, c.OpID = seq, op
		return c
	}
	start := l.Bounds().Last + 100
	Append(t, l, given(start, "a"), given(start+5, ""))
	for _, wrong := range [][]hub.Change{{given(start+5, "")}, {given(1, "")}, {given(start+6, "b"), given(start+6, "")}} {
		var seq *hub.SeqError
		if done, err := l.Append(wrong); !errors.As(err, &seq) || len(done) != 0 || seq.Last != start+5 || seq.Index != len(wrong)-1 {
			t.Errorf("got %+v, %v", done, err)
		}
	}
	done := Append(t, l, given(start+6, "b"), given(9, "a"))
	if want := []hub.Appended{{Seq: start + 6}, {Seq: start, Repeated: true}}; !slices.Equal(done, want) {
		t.Errorf("got %+v", done)
	}
	if want := []uint64{start, start + 5, start + 6}; !slices.Equal(f.Seqs(), want) || !slices.Equal(seqsOf(All(t, l, 0, 2)), want) {
		t.Errorf("delivered %v, want %v", f.Seqs(), want)
	}
	if p, err := Range(t, l, start+2, 10); err != nil || !slices.Equal(seqsOf(p.Entries), []uint64{start + 5, start + 6}) {
		t.Errorf("a cursor in a gap: %v, %v", seqsOf(p.Entries), err)
	}
}

// fresh: a new log's seqs begin with the time, so that all cursors of others before it are too old.
func fresh(t *testing.T, k Kind) {
	before := uint64(time.Now().UnixMicro())
	l := k.Open(t, Options{}).Log
	for range 2 {
		b := l.Bounds()
		if b.Before < before || b.Before > uint64(time.Now().UnixMicro()) || b.Trimmed {
			t.Errorf("%+v, opened at %d", b, before)
		}
		for _, since := range []uint64{1, 50, before - 1} {
			if _, err := Range(t, l, since, 10); !isResync(err) {
				t.Errorf("since %d: %v", since, err)
			}
		}
		Append(t, l, Change("1"))
	}
}
