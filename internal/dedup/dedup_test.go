package dedup

import (
	"fmt"
	"testing"
	"time"
	"unsafe"
)

var now = time.Unix(1_000_000, 0)

// docs/protocol.md section 5: a repeated op id answers the first seq; the last so many are remembered.
func TestOpIDs(t *testing.T) {
	o := New(3, time.Hour)
	for seq := range uint64(10) {
		id := fmt.Sprint("op", seq)
		if _, ok := o.Seen(id); ok {
			t.Errorf("%s was seen before it was added", id)
		}
		o.Add(id, seq, now)
		o.Add(id, seq+100, now)
		for back := range uint64(5) {
			if back > seq {
				break
			}
			got, ok := o.Seen(fmt.Sprint("op", seq-back))
			if ok != (back < 3) || (ok && got != seq-back) {
				t.Errorf("op%d after op%d: got %d, %v", seq-back, seq, got, ok)
			}
		}
	}
	if len(o.seqs) != 3 || len(o.ops) != 3 {
		t.Errorf("%d and %d ids kept, want 3", len(o.seqs), len(o.ops))
	}
}

func TestOpIDsWithoutID(t *testing.T) {
	o := New(10, time.Hour)
	o.Add("", 1, now)
	if _, ok := o.Seen(""); ok {
		t.Error("no op id was taken for a repeated one")
	}
	none := New(0, time.Hour)
	none.Add("op", 1, now)
	if _, ok := none.Seen("op"); ok {
		t.Error("a memory of none remembers")
	}
}

func TestOpIDsAreCopied(t *testing.T) {
	o := New(10, time.Hour)
	body := []byte("op1")
	o.Add(unsafe.String(unsafe.SliceData(body), len(body)), 1, now)
	copy(body, "xxx")
	if seq, ok := o.Seen("op1"); !ok || seq != 1 {
		t.Error("the request's body was kept")
	}
}

// docs/protocol.md section 5: an op id is remembered for so long, and may come again after that.
func TestOpIDsComeOfAge(t *testing.T) {
	o := New(10, time.Hour)
	o.Add("a", 1, now)
	o.Add("b", 2, now.Add(time.Minute))
	o.Expire(now.Add(time.Hour - 1))
	if seq, ok := o.Seen("a"); !ok || seq != 1 {
		t.Error("forgotten too early")
	}
	o.Expire(now.Add(time.Hour))
	if oldest, ok := o.Oldest(); !ok || oldest != 2 {
		t.Errorf("the oldest is %d, %v", oldest, ok)
	}
	if _, ok := o.Seen("a"); ok {
		t.Error("remembered for too long")
	}
	o.Add("a", 3, now.Add(time.Hour))
	o.Expire(now.Add(2*time.Hour - 1))
	if seq, ok := o.Seen("a"); !ok || seq != 3 {
		t.Errorf("the second time it got %d, %v", seq, ok)
	}
	o.Expire(now.Add(3 * time.Hour))
	if _, ok := o.Oldest(); ok || len(o.seqs) != 0 {
		t.Error("not all is forgotten")
	}
}
