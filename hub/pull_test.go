package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func pulledSeqs(p Pulled) (seqs []uint64) {
	for _, c := range p.Changes {
		var seq uint64
		_, _ = fmt.Sscanf(string(c), `{"seq":%d,`, &seq)
		seqs = append(seqs, seq)
	}
	return seqs
}

// docs/protocol.md section 5, pull: limits, cursor and has_more.
func TestPullLimits(t *testing.T) {
	h := start(t, roomy)
	if p, err := h.Pull(within(t), &Identity{UserID: "u"}, 0, 0); err != nil || len(p.Changes) != 0 || p.Changes == nil || p.HasMore || p.LastSeq != 0 {
		t.Errorf("an empty log: %+v, %v", p, err)
	}
	for range 1500 {
		mustPublish(t, h, someChange)
	}
	for _, c := range []struct {
		since         uint64
		limit, events int
		more          bool
	}{
		{0, 0, 100, true}, {0, -5, 100, true}, {0, 1, 1, true}, {0, 1000, 1000, true}, {0, 5000, 1000, true},
		{500, 1000, 1000, false}, {501, 1000, 999, false}, {1499, 100, 1, false}, {1500, 100, 0, false}, {1400, 100, 100, false}, {1399, 100, 100, true},
	} {
		p, err := h.Pull(within(t), &Identity{UserID: "u"}, c.since, c.limit)
		seqs := pulledSeqs(p)
		if err != nil || len(seqs) != c.events || p.HasMore != c.more || p.LastSeq != c.since+uint64(c.events) {
			t.Errorf("since %d, limit %d: %d events up to %d, more %v, %v", c.since, c.limit, len(seqs), p.LastSeq, p.HasMore, err)
		}
		for i, seq := range seqs {
			if seq != c.since+1+uint64(i) {
				t.Fatalf("since %d: got %d at %d", c.since, seq, i)
			}
		}
	}
}

// docs/protocol.md section 5, pull: 410 for a cursor that is too old or from the future, zero excepted.
func TestPullResync(t *testing.T) {
	h := start(t, func(o *Options) { o.Log = NewMemoryLog(10, 0) })
	for range 25 {
		mustPublish(t, h, someChange)
	}
	for _, since := range []uint64{1, 14, 26, 1<<64 - 1} {
		var resync *ResyncError
		if _, err := h.Pull(within(t), &Identity{UserID: "u"}, since, 10); !errors.As(err, &resync) || resync.OldestSeq != 16 || resync.Seq != 25 {
			t.Errorf("since %d: %v", since, err)
		}
	}
	for _, since := range []uint64{0, 15} {
		if p, err := h.Pull(within(t), &Identity{UserID: "u"}, since, 10); err != nil || len(p.Changes) != 10 || p.Partial != (since == 0) {
			t.Errorf("since %d: %d events, partial %v, %v", since, len(p.Changes), p.Partial, err)
		}
	}
}

// docs/protocol.md section 5: who pulls gets what is for it; the cursor passes over the rest, so that a page
// of events for others doesn't hold it up.
func TestPullLeavesOutOtherAudiences(t *testing.T) {
	h := start(t, nil)
	for _, a := range []Audience{{}, {Users: []string{"bob"}}, {Tenant: "acme"}, {Topic: "t"}, {Users: []string{"alice"}}, {Tenant: "other"}} {
		c := someChange
		c.Audience = a
		mustPublish(t, h, c)
	}
	for _, c := range []struct {
		id   Identity
		want string
	}{
		{Identity{UserID: "alice", Tenant: "acme"}, "1 3 5"},
		{Identity{UserID: "bob"}, "1 2"},
		{Identity{UserID: "carol", Tenant: "other"}, "1 6"},
		{Identity{Admin: true}, "1 2 3 5 6"}, // a topic's events are live only,
	} {
		p, err := h.Pull(within(t), &c.id, 0, 0)
		if got := strings.Trim(fmt.Sprint(pulledSeqs(p)), "[]"); err != nil || got != c.want || p.LastSeq != 6 {
			t.Errorf("%+v got %s up to %d, %v", c.id, got, p.LastSeq, err)
		}
	}
	if p, err := h.Pull(within(t), &Identity{UserID: "carol"}, 1, 2); err != nil || len(p.Changes) != 0 || p.LastSeq != 3 || !p.HasMore {
		t.Errorf("a page for others: %+v, %v", p, err)
	}
}

// What is pulled is the log's own bytes: held by however many, it counts once, and not in the log.
func TestPulledPagesAreShared(t *testing.T) {
	h := start(t, func(o *Options) { o.Log = NewMemoryLog(3, 0) })
	for range 3 {
		mustPublish(t, h, Change{Entity: "T", RowID: "1", Kind: Insert, Data: []byte(`"` + strings.Repeat("x", 100_000) + `"`)})
	}
	buffered := func() (sum int64) {
		runtime.GC()
		for _, n := range h.Stats().Buffered {
			sum += n
		}
		return sum
	}
	eventually(t, "nothing on its way", func() bool { return buffered() == 0 })
	var releases []func()
	for range 10 {
		p, err := h.Pull(within(t), &Identity{UserID: "u"}, 0, 0)
		if err != nil || len(p.Changes) != 3 {
			t.Fatalf("%d changes, %v", len(p.Changes), err)
		}
		release, err := h.Hold(p)
		if err != nil {
			t.Fatal(err)
		}
		releases = append(releases, release)
	}
	if n := buffered(); n != 0 {
		t.Errorf("%d bytes count of what the log keeps", n)
	}
	for range 3 { // of these the log keeps none
		mustPublish(t, h, Change{Entity: "T", RowID: "2", Kind: Insert, Data: []byte(`"` + strings.Repeat("x", 100_000) + `"`)})
	}
	eventually(t, "what was pulled counts once", func() bool { n := buffered(); return n > 300_000 && n < 303_000 })
	for _, release := range releases {
		release()
	}
	releases = nil
	eventually(t, "nothing is left", func() bool { return buffered() == 0 })
}

// storedLog is a log that keeps nothing in memory: it gives each reader bytes of its own.
type storedLog struct{ *MemoryLog }

func (l storedLog) Range(ctx context.Context, since uint64, limit int) (Page, error) {
	p, err := l.MemoryLog.Range(ctx, since, limit)
	p.Entries = slices.Clone(p.Entries)
	for i := range p.Entries {
		p.Entries[i].JSON, p.Entries[i].frame = bytes.Clone(p.Entries[i].JSON), nil
	}
	return p, err
}

// What is read from a disk for many who pull is in memory once while they hold it, and counts once.
func TestPulledPagesOfAStoreAreShared(t *testing.T) {
	log := NewMemoryLog(0, 0)
	log.Resume(0)
	h := start(t, func(o *Options) { o.Log = storedLog{log} })
	for range 3 {
		mustPublish(t, h, Change{Entity: "T", RowID: "1", Kind: Insert, Data: []byte(`"` + strings.Repeat("x", 100_000) + `"`)})
	}
	outside := func() int64 { return h.Stats().Buffered["outside"] }
	var releases []func()
	var bytesOf []*byte
	for i := range 10 {
		p, err := h.Pull(within(t), &Identity{UserID: "u"}, uint64(i%2), 2+i%2) // 1 2, or 2 3
		if err != nil {
			t.Fatal(err)
		}
		release, err := h.Hold(p)
		if err != nil {
			t.Fatal(err)
		}
		releases, bytesOf = append(releases, release), append(bytesOf, &p.Changes[1-i%2][0])
	}
	for _, b := range bytesOf {
		if b != bytesOf[0] {
			t.Error("a change that all hold is in memory more than once")
		}
	}
	if n := outside(); n < 300_000 || n > 303_000 {
		t.Errorf("%d bytes count for three changes of 100,000", n)
	}
	for _, release := range releases[:9] {
		release()
	}
	if n := outside(); n < 200_000 || n > 202_000 { // the last has 2 and 3
		t.Errorf("%d bytes count while one page is held", n)
	}
	if releases[9](); outside() != 0 || len(h.held.bySeq) != 0 {
		t.Errorf("%d bytes and %d changes are left", outside(), len(h.held.bySeq))
	}
}

// Without room for the rest of a page nothing of it stays held.
func TestPulledPageWithoutRoom(t *testing.T) {
	var held heldChanges
	left := 2
	spare := func(n int) (release func(), ok bool) {
		if n < 100 {
			t.Errorf("%d bytes count for a change: less than it takes to know who holds it", n)
		}
		if left == 0 {
			return nil, false
		}
		left--
		return func() { left++ }, true
	}
	page := func(seqs ...uint64) *Pulled {
		p := new(Pulled)
		for i, seq := range seqs {
			p.Changes, p.read = append(p.Changes, []byte("{}")), append(p.read, readChange{seq, i})
		}
		return p
	}
	first := page(1)
	if !held.take(first, spare) || held.take(page(1, 2, 3), spare) || left != 1 || len(held.bySeq) != 1 {
		t.Errorf("there is room for %d, and %d are held", left, len(held.bySeq))
	}
	if held.giveBack(first.read); left != 2 || held.bySeq != nil { // a map that is empty may be large
		t.Errorf("there is room for %d, and %d are held", left, len(held.bySeq))
	}
}
