package dedup

import (
	"fmt"
	"testing"
	"unsafe"
)

// docs/protocol.md section 5: a repeated op id answers the first seq; the last so many are remembered.
func TestOpIDs(t *testing.T) {
	o := New(3)
	for seq := range uint64(10) {
		id := fmt.Sprint("op", seq)
		if _, ok := o.Seen(id); ok {
			t.Errorf("%s was seen before it was added", id)
		}
		o.Add(id, seq)
		o.Add(id, seq+100)
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
	if len(o.seqs) != 3 || len(o.ring) != 3 {
		t.Errorf("%d and %d ids kept, want 3", len(o.seqs), len(o.ring))
	}
}

func TestOpIDsWithoutID(t *testing.T) {
	o := New(10)
	o.Add("", 1)
	if _, ok := o.Seen(""); ok {
		t.Error("no op id was taken for a repeated one")
	}
	none := New(0)
	none.Add("op", 1)
	if _, ok := none.Seen("op"); ok {
		t.Error("a memory of none remembers")
	}
}

func TestOpIDsAreCopied(t *testing.T) {
	o := New(10)
	body := []byte("op1")
	o.Add(unsafe.String(unsafe.SliceData(body), len(body)), 1)
	copy(body, "xxx")
	if seq, ok := o.Seen("op1"); !ok || seq != 1 {
		t.Error("the request's body was kept")
	}
}
