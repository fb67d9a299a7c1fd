package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/eventloop"
)

// overload fills the queues of stuck loops until the hub is overloaded. The loops go on when
// release is called.
func overload(t *testing.T, h *Hub) (release func()) {
	t.Helper()
	return fill(t, h, h.Overloaded)
}

// fill is overload up to some other point.
func fill(t *testing.T, h *Hub, enough func() bool) (release func()) {
	t.Helper()
	ids := map[uint64]uint64{} // a client of each loop
	const loops = 4
	for i := 0; len(ids) < loops; i++ {
		listen(t, h, fmt.Sprint("user", i), "?since=0")
		all, err := h.Clients(within(t), 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			if strings.HasPrefix(c.UserID, "user") {
				ids[c.ID%128] = c.ID // the loop is in the id's last 7 bits
			}
		}
	}
	stuck, free := make(chan struct{}, loops), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- h.engine.Each(context.Background(), func(*eventloop.Loop) {
			stuck <- struct{}{}
			<-free
		})
	}()
	for range loops {
		<-stuck
	}
	for i := 0; !enough(); i++ {
		if i > 1000 {
			t.Fatalf("never enough: %v", h.Stats().Buffered)
		}
		for _, id := range ids {
			if err := h.SendBinary(make([]byte, 32<<10), id); err != nil && !errors.Is(err, ErrOverloaded) {
				t.Fatal(err)
			}
		}
	}
	return func() {
		close(free)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

// While letting the slow go isn't enough, publishing is an error that says so, and leaves
// nothing behind; afterwards it works again.
func TestPublishingWhileOverloaded(t *testing.T) {
	h := start(t, func(o *Options) {
		o.Loops.Loops, o.Loops.Slow.LagBytes, o.MaxMessageOut = 4, 512<<10, 256<<10
		o.Loops.Memory.QueueBytes, o.Loops.Memory.BufferBytes = 512<<10, 1<<20
	})
	release := overload(t, h)
	for what, err := range map[string]error{
		"change":   func() error { _, err := h.PublishChange(someChange); return err }(),
		"presence": h.PublishPresence("", []byte(`{}`)),
		"topic":    h.PublishTopic("", "t", []byte(`1`)),
		"row":      h.PublishRow(Snapshot, "", "E", "r", []byte("x")),
		"binary":   h.BroadcastBinary([]byte("x")),
		"to some":  h.SendBinary([]byte("x"), 1),
	} {
		if !errors.Is(err, ErrOverloaded) {
			t.Errorf("%s: %v, want ErrOverloaded", what, err)
		}
	}
	s := h.Stats()
	if s.Overloaded != 1 || s.BufferCeiling != 1<<20 || s.Buffered["messages"] < 900<<10 || s.Buffered["messages"] > 1<<20 {
		t.Errorf("overloaded %d, %v of %d", s.Overloaded, s.Buffered, s.BufferCeiling)
	}
	if s.LastSeq != 0 || s.StoredRows != 0 {
		t.Errorf("seq %d and %d rows are left of what was refused", s.LastSeq, s.StoredRows)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := h.WaitDrained(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("publishers don't wait: %v", err)
	}
	release()
	if err := h.WaitDrained(within(t)); err != nil {
		t.Fatal(err)
	}
	mustPublish(t, h, someChange)
}

// A message that would go over the bound is refused, though smaller ones are taken: its
// publisher is told so, and nothing is left behind. Of a change event that is in the log by
// then, clients are told.
func TestPublishingWhatThereIsNoRoomFor(t *testing.T) {
	const large = 250 << 10
	h := start(t, func(o *Options) {
		o.Loops.Loops, o.Loops.Slow.LagBytes, o.MaxMessageOut = 4, 512<<10, 256<<10
		o.Loops.Memory.QueueBytes, o.Loops.Memory.BufferBytes = 512<<10, 1<<20
	})
	c := listen(t, h, "alice", "?since=0")
	if err := h.PublishRow(Snapshot, "", "E", "r", []byte("small")); err != nil {
		t.Fatal(err)
	}
	c.sendAndSettle(`{"type":"crdt-subscribe","entity":"E","rowId":"r"}`)
	c.gets(`snapshot E/r "small"`)
	release := fill(t, h, func() bool {
		runtime.GC() // what full queues let go of
		return h.Stats().Buffered["messages"] > 800<<10
	})
	if h.Overloaded() {
		t.Fatal("overloaded: nothing is shown")
	}
	before := h.Stats()
	text := []byte(`{"x":"` + strings.Repeat("x", large) + `"}`)
	for what, err := range map[string]error{
		"presence": h.PublishPresence("", text),
		"topic":    h.PublishTopic("", "t", text),
		"row":      h.PublishRow(Snapshot, "", "E", "r", make([]byte, large)),
		"another":  h.PublishRow(Snapshot, "", "E", "other", make([]byte, large)),
		"binary":   h.BroadcastBinary(make([]byte, large)),
		"to some":  h.SendBinary(make([]byte, large), 1),
	} {
		if !errors.Is(err, ErrOverloaded) {
			t.Errorf("%s: %v, want ErrOverloaded", what, err)
		}
	}
	if err := h.BroadcastBinary([]byte("fits"), make([]byte, large)); !errors.Is(err, ErrOverloaded) || !strings.Contains(err.Error(), "1 of 2") {
		t.Errorf("the second of two: %v", err)
	}
	after := h.Stats()
	before.Published["binary"]++ // the one that fits
	if !maps.Equal(after.Published, before.Published) || after.StoredRows != 1 {
		t.Errorf("published %v, want %v; %d rows", after.Published, before.Published, after.StoredRows)
	}
	if seq := mustPublish(t, h, Change{Entity: "E", RowID: "r", Kind: Update, Data: text}); seq != 1 {
		t.Errorf("the event is number %d", seq)
	}
	release()
	c.gets(`{"type":"gap","from":1,"to":1}`)
	c.gets(`{"type":"resync","oldest_seq":1,"seq":1}`)
	c.gets(`binary "fits"`)
	c.sendAndSettle(`{"type":"crdt-subscribe","entity":"E","rowId":"r"}`)
	c.gets(`snapshot E/r "small"`)
}

// Rows that are stored have a bound of their own: what of them clients have been sent doesn't stay buffered
// for clients.
func TestStoredRowsAreNotBuffered(t *testing.T) {
	const rows, large = 8, 200 << 10
	h := start(t, func(o *Options) {
		o.Loops.Loops, o.Loops.Slow.LagBytes, o.MaxMessageOut = 1, 512<<10, 256<<10
		o.Loops.Memory.QueueBytes, o.Loops.Memory.BufferBytes = 512<<10, 1<<20
	})
	drained := func() {
		t.Helper()
		if err := h.WaitDrained(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	c := listen(t, h, "alice", "")
	for i := range rows {
		drained()
		if err := h.PublishRow(Snapshot, "", "E", fmt.Sprint(i), bytes.Repeat([]byte("x"), large)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range rows {
		drained()
		c.sendAndSettle(fmt.Sprintf(`{"type":"crdt-subscribe","entity":"E","rowId":"%d"}`, i))
		c.gets(fmt.Sprintf("snapshot E/%d %q", i, strings.Repeat("x", large)))
	}
	drained()
	mustPublish(t, h, someChange)
}
