package hub

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// countedLog is a memory log that begins with 1.
func countedLog(maxEvents, maxBytes int) *MemoryLog {
	l := NewMemoryLog(maxEvents, maxBytes)
	l.Resume(0)
	return l
}

func appendMany(t *testing.T, l *MemoryLog, n int) {
	t.Helper()
	for range n {
		done, err := l.Append([]Change{someChange})
		if err != nil || len(done) != 1 || done[0].Seq != l.Bounds().Last {
			t.Fatalf("got %+v, %v; last is %d", done, err, l.Bounds().Last)
		}
	}
}

// docs/protocol.md section 5: a cursor that is newer than the newest or too old is refused, 0 excepted.
func TestMemoryLogRange(t *testing.T) {
	empty, full := countedLog(10, 0), countedLog(10, 0)
	appendMany(t, full, 25) // 16 to 25 are kept
	for _, c := range []struct {
		log         *MemoryLog
		since       uint64
		limit       int
		first, last uint64 // of the page; 0 for none
		resync      bool
	}{
		{empty, 0, 100, 0, 0, false},
		{empty, 1, 100, 0, 0, true},
		{full, 0, 100, 16, 25, false},
		{full, 0, 3, 16, 18, false},
		{full, 1, 100, 0, 0, true},
		{full, 14, 100, 0, 0, true},
		{full, 15, 100, 16, 25, false},
		{full, 16, 100, 17, 25, false},
		{full, 20, 2, 21, 22, false},
		{full, 24, 100, 25, 25, false},
		{full, 25, 100, 0, 0, false},
		{full, 26, 100, 0, 0, true},
		{full, math.MaxUint64, 100, 0, 0, true},
		{full, 20, 0, 0, 0, false},
		{full, 20, -1, 0, 0, false},
	} {
		bounds := c.log.Bounds()
		page, err := c.log.Range(context.Background(), c.since, c.limit)
		checkPage(t, fmt.Sprintf("last %d, since %d, limit %d", bounds.Last, c.since, c.limit), page, c.first, c.last)
		var resync *ResyncError
		if errors.As(err, &resync) != c.resync {
			t.Errorf("since %d of %d: %v", c.since, bounds.Last, err)
		}
		if c.resync && (resync.OldestSeq != bounds.Oldest || resync.Seq != bounds.Last) {
			t.Errorf("since %d: %+v", c.since, resync)
		}
		if !c.resync && page.Bounds != bounds {
			t.Errorf("since %d: bounds %+v", c.since, page.Bounds)
		}
	}
}

func checkPage(t *testing.T, what string, page Page, first, last uint64) {
	t.Helper()
	want := 0
	if first != 0 {
		want = int(last - first + 1)
	}
	if len(page.Entries) != want {
		t.Fatalf("%s: got %d entries, want %d", what, len(page.Entries), want)
	}
	for i, e := range page.Entries {
		if prefix := fmt.Sprintf(`{"seq":%d,`, e.Seq); e.Seq != first+uint64(i) || e.Prev != e.Seq-1 || !strings.HasPrefix(string(e.JSON), prefix) {
			t.Fatalf("%s: entry %d is %d behind %d: %s", what, i, e.Seq, e.Prev, e.JSON)
		}
	}
}

// docs/protocol.md section 3: a cursor of any log that was before is older than all of a new log, an empty one
// too, and is told so.
func TestCursorOfAnEarlierLog(t *testing.T) {
	before := time.Now().UnixMicro()
	l := NewMemoryLog(10, 0)
	for range 2 {
		first := l.Bounds()
		if first.Oldest <= uint64(before) || first.Oldest > uint64(time.Now().UnixMicro())+1 || first.Trimmed {
			t.Errorf("a new log has %+v, at %d", first, before)
		}
		for _, since := range []uint64{1, 50, uint64(before) - 1} {
			var resync *ResyncError
			if _, err := l.Range(context.Background(), since, 10); !errors.As(err, &resync) {
				t.Errorf("since %d: %v", since, err)
			}
		}
		if page, err := l.Range(context.Background(), first.Before, 10); err != nil || len(page.Entries) != int(first.Last-first.Before) {
			t.Errorf("a client that has it all: %+v, %v", page, err)
		}
		appendMany(t, l, 1)
	}
}

// docs/protocol.md section 5, op_id: the first seq is the answer, also within one call, and nothing comes twice.
func TestMemoryLogKnowsOpIDs(t *testing.T) {
	l := countedLog(10, 0)
	var got []uint64
	l.Follow(func(entries []Entry) {
		for _, e := range entries {
			got = append(got, e.Seq)
		}
	})
	a, b := someChange, someChange
	a.OpID, b.OpID = "a", "b"
	first, _ := l.Append([]Change{a, someChange, a, b})
	second, _ := l.Append([]Change{b, a, someChange, someChange})
	want := []Appended{{Seq: 1}, {Seq: 2}, {Seq: 1, Repeated: true}, {Seq: 3}, {3, true}, {1, true}, {Seq: 4}, {Seq: 5}}
	if all := slices.Concat(first, second); !slices.Equal(all, want) {
		t.Errorf("got %+v", all)
	}
	if !slices.Equal(got, []uint64{1, 2, 3, 4, 5}) {
		t.Errorf("delivered %v", got)
	}
}

// docs/protocol.md section 5, seq: publishers' own numbers rise, with gaps; a call with one that doesn't leaves
// nothing behind. What was before the first is missing.
func TestMemoryLogKeepsGivenSeqs(t *testing.T) {
	l := countedLog(10, 0)
	given := func(seq uint64, op string) Change {
		c := someChange
		c.Seq, c.OpID = seq, op
		return c
	}
	if _, err := l.Append([]Change{given(100, "a"), given(105, "")}); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range [][]Change{{given(105, "")}, {given(1, "")}, {given(106, "b"), given(106, "")}} {
		var seq *SeqError
		if done, err := l.Append(wrong); !errors.As(err, &seq) || len(done) != 0 || seq.Last != 105 || seq.Index != len(wrong)-1 {
			t.Errorf("got %+v, %v", done, err)
		}
	}
	done, err := l.Append([]Change{given(106, "b"), given(9, "a")})
	if want := []Appended{{Seq: 106}, {Seq: 100, Repeated: true}}; err != nil || !slices.Equal(done, want) {
		t.Errorf("got %+v, %v", done, err)
	}
	if got, want := l.Bounds(), (Bounds{Oldest: 100, Last: 106, Before: 99, Trimmed: true}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for since, want := range map[uint64]string{0: "[100 105 106]", 99: "[100 105 106]", 100: "[105 106]", 103: "[105 106]", 106: "[]", 98: "resync", 107: "resync"} {
		page, err := l.Range(context.Background(), since, 10)
		got := fmt.Sprint(seqsOf(page.Entries))
		if errors.As(err, new(*ResyncError)) {
			got = "resync"
		}
		if got != want {
			t.Errorf("since %d: %s, want %s", since, got, want)
		}
	}
}

func seqsOf(entries []Entry) []uint64 {
	seqs := []uint64{}
	for _, e := range entries {
		seqs = append(seqs, e.Seq)
	}
	return seqs
}

func TestMemoryLogIsBoundedInBytes(t *testing.T) {
	l := countedLog(1000, 10_000)
	c := someChange
	c.Data = []byte(`"` + strings.Repeat("x", 3000) + `"`)
	for range 20 {
		if _, err := l.Append([]Change{c}); err != nil {
			t.Fatal(err)
		}
	}
	page, err := l.Range(context.Background(), 0, 100)
	if err != nil || len(page.Entries) != 3 || page.Entries[2].Seq != 20 || !page.Trimmed {
		t.Errorf("%d events of 3 KB kept in 10 KB, %v", len(page.Entries), err)
	}

	// The audience counts: a hundred users of 100 bytes are more than fits.
	c = someChange
	c.Audience.Users = make([]string, 100)
	for i := range c.Audience.Users {
		c.Audience.Users[i] = strings.Repeat("u", 100)
	}
	done, err := l.Append([]Change{c})
	if b := l.Bounds(); err != nil || done[0].Seq != 21 || b.Last != 21 || b.Oldest != 22 {
		t.Errorf("too large for the log: %+v, %v; %+v", done, err, b)
	}
	if _, err := l.Range(context.Background(), 20, 10); err == nil {
		t.Error("the lost event isn't missed")
	}
	if page, err := l.Range(context.Background(), 21, 10); err != nil || len(page.Entries) != 0 {
		t.Errorf("a client that has it all got %v, %v", page, err)
	}
}

func TestMemoryLogDefaults(t *testing.T) {
	l := countedLog(0, -1)
	appendMany(t, l, DefaultLogEvents+5)
	if b := l.Bounds(); b.Oldest != 6 || b.Last != DefaultLogEvents+5 {
		t.Errorf("%+v", b)
	}
}

func TestMemoryLogKeepsTheAudience(t *testing.T) {
	l := NewMemoryLog(0, 0)
	c := someChange
	c.Audience.Tenant = "acme"
	if _, err := l.Append([]Change{c}); err != nil {
		t.Fatal(err)
	}
	page, err := l.Range(context.Background(), 0, 1)
	if err != nil || len(page.Entries) != 1 || page.Entries[0].Audience.Tenant != "acme" {
		t.Errorf("got %+v, %v", page, err)
	}
}

// docs/protocol.md section 3: a delete has no data, also when it comes to the log with some.
func TestEntriesAreEncodedLikeEncodeEvent(t *testing.T) {
	for _, kind := range []ChangeKind{Insert, Update, Delete} {
		c := Change{Entity: "Todo", RowID: "1", Kind: kind, Data: []byte(`{"a":1}`), Timestamp: "1Z"}
		got := NewEntry(99, 98, &c)
		e := Event{Seq: 99, Entity: "Todo", RowID: "1", Kind: kind, Data: []byte(`{"a":1}`), Timestamp: "1Z"}
		if want, err := EncodeEvent(e); err != nil || string(got.JSON) != string(want) {
			t.Errorf("got %s, want %s, %v", got.JSON, want, err)
		}
	}
}

// Entries of all sizes, with numbers left out, against a plain slice.
func TestTailRandomly(t *testing.T) {
	for seed := range uint64(10) {
		random := rand.New(rand.NewPCG(seed, 2))
		maxEvents, maxBytes := 1+random.IntN(40), 200+random.IntN(8000)
		last := uint64(random.IntN(3))
		tail := NewTail(maxEvents, maxBytes, last)
		var all []Entry
		for range 400 {
			c := Change{Entity: strings.Repeat("e", random.IntN(600)), RowID: "1", Kind: Delete}
			e := NewEntry(last+1+uint64(random.IntN(3)), last, &c)
			tail.Add(e)
			all, last = append(all, e), e.Seq
			kept, bytes := len(all), 0 // the first that is kept
			for kept > max(0, len(all)-maxEvents) && bytes+all[kept-1].size() <= maxBytes {
				bytes += all[kept-1].size()
				kept--
			}
			checkTail(t, random, tail, all, kept)
		}
	}
}

// checkTail reads behind any seq.
func checkTail(t *testing.T, random *rand.Rand, tail *Tail, all []Entry, kept int) {
	t.Helper()
	last := all[len(all)-1].Seq
	want := Bounds{Oldest: last + 1, Last: last, Before: last, Trimmed: kept > 0}
	if kept < len(all) {
		want.Oldest, want.Before = all[kept].Seq, all[kept].Prev
	}
	since, limit := uint64(random.IntN(int(last)+3)), random.IntN(50)
	from, _ := slices.BinarySearchFunc(all, since+1, func(e Entry, seq uint64) int { return int(e.Seq) - int(seq) })
	page, ok := tail.Read(since, limit)
	if page.Bounds != want || ok != (since >= want.Before) {
		t.Fatalf("since %d: %+v, %v; want %+v", since, page.Bounds, ok, want)
	}
	if !ok {
		return
	}
	expected := all[from:min(from+limit, len(all))]
	if !slices.EqualFunc(page.Entries, expected, func(a, b Entry) bool { return a.Seq == b.Seq && &a.JSON[0] == &b.JSON[0] }) {
		t.Fatalf("since %d, limit %d: %d entries, want %d", since, limit, len(page.Entries), len(expected))
	}
}

func TestMemoryLogFromManyGoroutines(t *testing.T) {
	l := countedLog(50, 0)
	delivered := uint64(0)
	l.Follow(func(entries []Entry) {
		for _, e := range entries {
			if e.Seq != delivered+1 {
				t.Errorf("%d is delivered behind %d", e.Seq, delivered)
			}
			delivered = e.Seq
		}
	})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 500 {
				if _, err := l.Append([]Change{someChange}); err != nil {
					t.Error(err)
				}
				page, err := l.Range(context.Background(), 0, 10)
				if err != nil || len(page.Entries) == 0 || page.Entries[0].Seq != page.Oldest {
					t.Errorf("got %+v, %v", page, err)
				}
			}
		})
	}
	all.Wait()
	if b := l.Bounds(); b.Last != 2000 || b.Oldest != 1951 || delivered != 2000 {
		t.Errorf("%+v, %d delivered", b, delivered)
	}
}

func BenchmarkMemoryLogAppend(b *testing.B) {
	l := NewMemoryLog(0, 0)
	c := []Change{{Entity: "Todo", RowID: "t_1", Kind: Update, Data: []byte(`{"title":"buy milk","done":false}`), Timestamp: "1767225600Z"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Append(c); err != nil {
			b.Fatal(err)
		}
	}
}

// An entry says what came before it: a tail that hasn't had that has lost something, and starts anew.
func TestTailAfterALoss(t *testing.T) {
	tail := NewTail(10, 10_000, 4)
	tail.Add(NewEntry(5, 4, &someChange), NewEntry(9, 5, &someChange), NewEntry(20, 15, &someChange))
	if got, want := tail.Bounds(), (Bounds{Oldest: 20, Last: 20, Before: 15, Trimmed: true}); got != want {
		t.Errorf("got %+v", got)
	}
	if _, ok := tail.Read(9, 10); ok {
		t.Error("what was lost isn't missed")
	}
}
