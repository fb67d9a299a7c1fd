package hub

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
)

func appendMany(t *testing.T, l *MemoryLog, n int) {
	t.Helper()
	for range n {
		entry, err := l.Append(Event{Entity: "Todo", RowID: "1", Kind: Update, Timestamp: "1Z"}, Audience{})
		if err != nil || entry.Seq != l.Last() {
			t.Fatalf("got seq %d, %v; last is %d", entry.Seq, err, l.Last())
		}
	}
}

// docs/protocol.md section 5: a cursor that is newer than the newest or too old is refused, 0 excepted.
func TestMemoryLogRange(t *testing.T) {
	empty, full := NewMemoryLog(10, 0), NewMemoryLog(10, 0)
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
		page, err := c.log.Range(context.Background(), c.since, c.limit)
		checkPage(t, fmt.Sprintf("last %d, since %d, limit %d", c.log.Last(), c.since, c.limit), page, c.first, c.last)
		var resync *ResyncError
		if errors.As(err, &resync) != c.resync {
			t.Errorf("since %d of %d: %v", c.since, c.log.Last(), err)
		}
		if c.resync && (resync.OldestSeq != c.log.Oldest() || resync.Seq != c.log.Last()) {
			t.Errorf("since %d: %+v", c.since, resync)
		}
		if !c.resync && (page.Oldest != c.log.Oldest() || page.Last != c.log.Last()) {
			t.Errorf("since %d: bounds %d, %d", c.since, page.Oldest, page.Last)
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
		if prefix := fmt.Sprintf(`{"seq":%d,`, e.Seq); e.Seq != first+uint64(i) || !strings.HasPrefix(string(e.JSON), prefix) {
			t.Fatalf("%s: entry %d is %d: %s", what, i, e.Seq, e.JSON)
		}
	}
}

func TestMemoryLogIsBoundedInBytes(t *testing.T) {
	l := NewMemoryLog(1000, 10_000)
	e := Event{Entity: "Todo", RowID: "1", Kind: Update, Data: []byte(`"` + strings.Repeat("x", 3000) + `"`)}
	var kept []Entry
	for range 20 {
		if _, err := l.Append(e, Audience{}); err != nil {
			t.Fatal(err)
		}
		page, err := l.Range(context.Background(), 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		kept = page.Entries
	}
	if len(kept) != 3 || kept[2].Seq != 20 {
		t.Errorf("%d events of 3 KB kept in 10 KB", len(kept))
	}

	// The audience counts: a hundred users of 100 bytes are more than fits.
	users := make([]string, 100)
	for i := range users {
		users[i] = strings.Repeat("u", 100)
	}
	entry, err := l.Append(Event{Entity: "Todo", RowID: "1", Kind: Delete}, Audience{Users: users})
	if err != nil || entry.Seq != 21 || l.Last() != 21 || l.Oldest() != 22 {
		t.Errorf("too large for the log: seq %d, %v; %d to %d kept", entry.Seq, err, l.Oldest(), l.Last())
	}
	if _, err := l.Range(context.Background(), 20, 10); err == nil {
		t.Error("the lost event isn't missed")
	}
	if page, err := l.Range(context.Background(), 21, 10); err != nil || len(page.Entries) != 0 {
		t.Errorf("a client that has it all got %v, %v", page, err)
	}
}

func TestMemoryLogDefaults(t *testing.T) {
	l := NewMemoryLog(0, -1)
	appendMany(t, l, DefaultLogEvents+5)
	if l.Oldest() != 6 || l.Last() != DefaultLogEvents+5 {
		t.Errorf("%d to %d kept", l.Oldest(), l.Last())
	}
}

func TestMemoryLogKeepsTheAudience(t *testing.T) {
	l := NewMemoryLog(0, 0)
	if _, err := l.Append(Event{Kind: Insert}, Audience{Tenant: "acme"}); err != nil {
		t.Fatal(err)
	}
	page, err := l.Range(context.Background(), 0, 1)
	if err != nil || len(page.Entries) != 1 || page.Entries[0].Audience.Tenant != "acme" {
		t.Errorf("got %+v, %v", page, err)
	}
}

// docs/protocol.md section 3: a delete has no data, also when it comes to the log with some.
func TestMemoryLogEncodesLikeEncodeEvent(t *testing.T) {
	l := NewMemoryLog(0, 0)
	for _, kind := range []ChangeKind{Insert, Update, Delete} {
		e := Event{Seq: 99, Entity: "Todo", RowID: "1", Kind: kind, Data: []byte(`{"a":1}`), Timestamp: "1Z"}
		entry, err := l.Append(e, Audience{})
		if err != nil {
			t.Fatal(err)
		}
		e.Seq = entry.Seq
		if want, err := EncodeEvent(e); err != nil || string(entry.JSON) != string(want) {
			t.Errorf("the log has %s, want %s, %v", entry.JSON, want, err)
		}
	}
}

// Events of all sizes against a plain slice.
func TestMemoryLogRandomly(t *testing.T) {
	for seed := range uint64(10) {
		random := rand.New(rand.NewPCG(seed, 2))
		maxEvents, maxBytes := 1+random.IntN(40), 200+random.IntN(8000)
		l := NewMemoryLog(maxEvents, maxBytes)
		var sizes []int
		for range 400 {
			e := Event{Entity: strings.Repeat("e", random.IntN(600)), RowID: "1", Kind: Delete}
			entry, err := l.Append(e, Audience{})
			if err != nil {
				t.Fatal(err)
			}
			sizes = append(sizes, entry.size())
			want, bytes := 0, 0 // how many of the last ones fit
			for want < min(maxEvents, len(sizes)) && bytes+sizes[len(sizes)-1-want] <= maxBytes {
				bytes += sizes[len(sizes)-1-want]
				want++
			}
			page, err := l.Range(context.Background(), 0, 1000)
			if err != nil || int(l.Last()) != len(sizes) {
				t.Fatalf("seed %d: last is %d, %v", seed, l.Last(), err)
			}
			first := l.Last() + 1 - uint64(want)
			if want == 0 {
				first = 0
			}
			checkPage(t, fmt.Sprint("seed ", seed), page, first, l.Last())
		}
	}
}

func TestMemoryLogFromManyGoroutines(t *testing.T) {
	l := NewMemoryLog(50, 0)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 500 {
				if _, err := l.Append(Event{Entity: "Todo", RowID: "1", Kind: Update}, Audience{}); err != nil {
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
	if l.Last() != 2000 || l.Oldest() != 1951 {
		t.Errorf("%d to %d kept", l.Oldest(), l.Last())
	}
}

func BenchmarkMemoryLogAppend(b *testing.B) {
	l := NewMemoryLog(0, 0)
	e := Event{Entity: "Todo", RowID: "t_1", Kind: Update, Data: []byte(`{"title":"buy milk","done":false}`), Timestamp: "1767225600Z"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Append(e, Audience{}); err != nil {
			b.Fatal(err)
		}
	}
}
