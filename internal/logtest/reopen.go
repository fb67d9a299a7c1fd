package logtest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/busbar-ws/busbar/hub"
)

// reopened: the same entries, bounds and cursors, and seqs that go on.
func reopened(t *testing.T, k Kind) {
	o := k.Open(t, Options{})
	seqs := seqsOfResults(Append(t, o.Log, Changes(700)...))
	before := o.Log.Bounds()
	for range 2 {
		l := o.Reopen(Options{})
		f := Follow(t, l)
		if b := l.Bounds(); b != before {
			t.Fatalf("%+v, and before %+v", b, before)
		}
		if got := seqsOf(All(t, l, 0, 100)); !slices.Equal(got, seqs) {
			t.Fatalf("%d entries of %d", len(got), len(seqs))
		}
		if got := seqsOf(All(t, l, seqs[300], 1000)); !slices.Equal(got, seqs[301:]) {
			t.Fatalf("%d entries of %d", len(got), len(seqs)-301)
		}
		for _, since := range []uint64{before.Before - 1, l.Bounds().Last + 1} {
			if _, err := Range(t, l, since, 10); !isResync(err) {
				t.Errorf("since %d: %v", since, err)
			}
		}
		more := seqsOfResults(Append(t, l, Changes(3)...))
		if seqs = append(seqs, more...); !slices.IsSorted(seqs) || !slices.Equal(f.Seqs(), more) {
			t.Fatalf("%v, delivered %v", more, f.Seqs())
		}
		// From before the reopening into what came since.
		if got := seqsOf(All(t, l, seqs[len(seqs)-6], 2)); !slices.Equal(got, seqs[len(seqs)-5:]) {
			t.Fatalf("got %v, want %v", got, seqs[len(seqs)-5:])
		}
		before = l.Bounds()
	}
}

// reopenedOpIDs: an op that was stored before isn't stored again.
func reopenedOpIDs(t *testing.T, k Kind) {
	o := k.Open(t, Options{MaxEvents: 3})
	first := Append(t, o.Log, withOpID("a"), withOpID("b"))
	Append(t, o.Log, Changes(5)...) // the ops are remembered, although their entries have gone
	settled(t, o.Log, 3)
	l := o.Reopen(Options{MaxEvents: 3})
	f := Follow(t, l)
	done := Append(t, l, withOpID("b"), withOpID("a"), withOpID("c"), withOpID("c"))
	want := []hub.Appended{{Seq: first[1].Seq, Repeated: true}, {Seq: first[0].Seq, Repeated: true}, {Seq: done[2].Seq}, {Seq: done[2].Seq, Repeated: true}}
	if !slices.Equal(done, want) || len(f.entries) != 1 {
		t.Errorf("got %+v, %d delivered; want %+v", done, len(f.entries), want)
	}
}

// reopenedRetention: the edges are where they were.
func reopenedRetention(t *testing.T, k Kind) {
	o := k.Open(t, Options{MaxEvents: 10})
	var seqs []uint64
	for i := range 25 {
		seqs = append(seqs, Append(t, o.Log, Change(fmt.Sprint(i)))[0].Seq)
	}
	before := settled(t, o.Log, 10)
	l := o.Reopen(Options{MaxEvents: 10})
	if b := l.Bounds(); b != before || !b.Trimmed {
		t.Errorf("%+v, and before %+v", b, before)
	}
	for since, want := range map[uint64][]uint64{0: seqs[15:], seqs[14]: seqs[15:], seqs[15]: seqs[16:], seqs[24]: {}} {
		if got := seqsOf(All(t, l, since, 4)); !slices.Equal(got, want) {
			t.Errorf("since %d: %v, want %v", since, got, want)
		}
	}
	if _, err := Range(t, l, seqs[13], 4); !isResync(err) {
		t.Errorf("since %d: %v", seqs[13], err)
	}
}

// reopenedSmaller: a bound that was lowered holds in a moment, and until then all is consistent.
func reopenedSmaller(t *testing.T, k Kind) {
	o := k.Open(t, Options{})
	seqs := seqsOfResults(Append(t, o.Log, Changes(2000)...))
	l := o.Reopen(Options{MaxEvents: 10})
	last := uint64(0)
	for l.Bounds().Oldest != seqs[1990] {
		p, err := Range(t, l, 0, 5)
		if err != nil || p.Oldest < last || len(p.Entries) == 0 || p.Entries[0].Prev > p.Before {
			t.Fatalf("%+v, %v", p, err)
		}
		last = p.Oldest
	}
	if got := seqsOf(All(t, l, 0, 4)); !slices.Equal(got, seqs[1990:]) {
		t.Errorf("got %v", got)
	}
}

// reopenedEmpty: a log that has nothing yet goes on where it began.
func reopenedEmpty(t *testing.T, k Kind) {
	o := k.Open(t, Options{})
	before := o.Log.Bounds()
	if b := o.Reopen(Options{}).Bounds(); b != before {
		t.Errorf("%+v, and before %+v", b, before)
	}
}
