package hub

import (
	"errors"
	"fmt"
	"testing"
)

// Changes that are published together arrive in order, with one write for each client.
func TestChangesPublishedTogetherAreOneWrite(t *testing.T) {
	h := startOn(t, &brokenLog{})
	alice := listen(t, h, "alice", "")
	before := h.Stats().Sends
	seqs, err := h.PublishChanges(someChange, someChange, someChange)
	if err != nil || fmt.Sprint(seqs) != "[1 2 3]" {
		t.Errorf("seqs %v, %v", seqs, err)
	}
	for want := uint64(1); want <= 3; want++ {
		if got := nextSeq(t, alice); got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
	if n := h.Stats().Sends - before; n != 1 {
		t.Errorf("%d writes, want 1", n)
	}
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
	log := &brokenLog{appended: make(chan struct{}), goOn: make(chan struct{})}
	h := startOn(t, log)
	alice := listen(t, h, "alice", "")
	go func() {
		<-log.appended
		log.appendFails.Store(true) // the second
		log.goOn <- struct{}{}
	}()
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
	before := h.Stats().Sends
	if err := h.BroadcastBinary([]byte("a"), make([]byte, 101)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
	if err := h.BroadcastBinary([]byte("b"), []byte("c")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"b", "c"} {
		if _, got := c.read(); string(got) != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if n := h.Stats().Sends - before; n != 1 {
		t.Errorf("%d writes, want 1", n)
	}
}
