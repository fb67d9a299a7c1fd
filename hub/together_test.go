package hub

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/busbar-ws/busbar/eventloop"
)

// sends is how many system calls have written to sockets so far. They are counted after
// the bytes are out, so a client can be ahead of the count until the loops have come round.
func sends(t *testing.T, h *Hub) uint64 {
	t.Helper()
	if err := h.engine.Each(within(t), func(*eventloop.Loop) {}); err != nil {
		t.Fatal(err)
	}
	return h.Stats().Sends
}

// Changes that are published together arrive in order, with one write for each client.
func TestChangesPublishedTogetherAreOneWrite(t *testing.T) {
	h := startOn(t, &brokenLog{})
	alice := listen(t, h, "alice", "")
	oneWriteAtLast(t, h, func(try uint64) {
		seqs, err := h.PublishChanges(someChange, someChange, someChange)
		first := 3*try + 1
		if err != nil || !slices.Equal(seqs, []uint64{first, first + 1, first + 2}) {
			t.Errorf("seqs %v, %v", seqs, err)
		}
		for want := first; want < first+3; want++ {
			if got := nextSeq(t, alice); got != want {
				t.Errorf("got %d, want %d", got, want)
			}
		}
	})
}

// oneWriteAtLast has publish take one write. A tick of the loop may come in between and send
// what is there so far, but not ten times in a row.
func oneWriteAtLast(t *testing.T, h *Hub, publish func(try uint64)) {
	t.Helper()
	for try := range uint64(10) {
		before := sends(t, h)
		publish(try)
		if n := sends(t, h) - before; n == 1 || t.Failed() {
			return
		}
	}
	t.Error("each time it took several writes")
}

// A bad change among good ones leaves nothing behind.
func TestChangesPublishedTogetherAreCheckedFirst(t *testing.T) {
	h := startOn(t, &brokenLog{})
	bad := someChange
	bad.Kind = "none"
	var field *FieldError
	if seqs, err := h.PublishChanges(someChange, bad); !errors.As(err, &field) || len(seqs) != 0 {
		t.Errorf("seqs %v, %v", seqs, err)
	}
	if seq := mustPublish(t, h, someChange); seq != 1 {
		t.Errorf("the next change has seq %d, want 1", seq)
	}
}

// When the log fails on the way, what it took before is published, and said.
func TestChangesPublishedTogetherUpToAFailure(t *testing.T) {
	log := &brokenLog{takes: 1}
	h := startOn(t, log)
	alice := listen(t, h, "alice", "")
	seqs, err := h.PublishChanges(someChange, someChange, someChange)
	if !errors.Is(err, errDisk) || fmt.Sprint(seqs) != "[1]" {
		t.Errorf("seqs %v, %v", seqs, err)
	}
	if got := nextSeq(t, alice); got != 1 {
		t.Errorf("got %d", got)
	}
	nothingMore(t, h, alice)
}

// Binary messages handed over in one call go out in one write; one that is too large stops all.
func TestBinaryMessagesTogether(t *testing.T) {
	h := start(t, func(o *Options) { o.MaxMessageOut = 100 })
	c := connect(t, h, "alice")
	if err := h.BroadcastBinary([]byte("a"), make([]byte, 101)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
	oneWriteAtLast(t, h, func(uint64) {
		if err := h.BroadcastBinary([]byte("b"), []byte("c")); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"b", "c"} {
			if _, got := c.Next(); string(got) != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
}
