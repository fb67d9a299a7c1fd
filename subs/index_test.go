package subs

import (
	"iter"
	"math/rand/v2"
	"strconv"
	"testing"
	"unsafe"
)

// view is how a caller passes a name that lies in a read buffer.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// subscribers is a whole walk; the body may change what it likes.
func subscribers(x *Index, k *Key) iter.Seq[uint32] {
	return func(yield func(client uint32) bool) {
		x.Visit(k)
		for client, ok := x.Next(); ok && yield(client); client, ok = x.Next() {
		}
	}
}

// Whatever happens between two steps of a walk: who is subscribed from its beginning to its turn is
// visited once, and nobody else is.
func TestVisitWhileSubscriptionsChange(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 5))
		table := NewTable(1)
		x := NewIndex(table, 0)
		due := make(map[uint32]bool)
		x.Subscribe(99, "other") // so that the name alone may be gone
		for range 1 + random.IntN(12) {
			client := random.Uint32N(12)
			x.Subscribe(client, "t")
			due[client] = true
		}
		x.Visit(table.Lookup("t"))
		for {
			for range random.IntN(4) {
				switch client := random.Uint32N(16); random.IntN(4) {
				case 0:
					x.Subscribe(client, "t")
				case 1:
					x.Leave(client)
					delete(due, client)
				case 2:
					x.Unsubscribe(client, "t")
					delete(due, client)
				case 3:
					x.Subscribe(client, "other")
				}
			}
			client, ok := x.Next()
			if !ok {
				break
			}
			if !due[client] {
				t.Fatalf("seed %d: %d was visited, and isn't due", seed, client)
			}
			delete(due, client)
		}
		if len(due) > 0 {
			t.Fatalf("seed %d: %v were skipped", seed, due)
		}
	}
}

func TestNoKeyHasNoSubscribers(t *testing.T) {
	x := NewIndex(NewTable(1), 0)
	x.Subscribe(1, "t")
	x.Visit(nil)
	if client, ok := x.Next(); ok {
		t.Errorf("%d was visited", client)
	}
}

func TestSpaceIsGivenBack(t *testing.T) {
	table := NewTable(1)
	x := NewIndex(table, 0)
	const many = 10_000
	for client := range uint32(many) {
		x.Subscribe(client, "popular")
		x.Subscribe(0, strconv.Itoa(int(client)))
	}
	for client := range uint32(many - 10) {
		x.Unsubscribe(client, "popular")
		x.Unsubscribe(0, strconv.Itoa(int(client)))
	}
	slot := x.slots[table.Lookup("popular")]
	if got := cap(x.rosters[slot].subscribers); got > 100 {
		t.Errorf("10 subscribers left in space for %d", got)
	}
	if got := cap(x.clients[0].list); got > 100 {
		t.Errorf("%d names left in space for %d", len(x.clients[0].list), got)
	}
}

func TestPublishingAllocatesNothing(t *testing.T) {
	table := NewTable(2)
	x := NewIndex(table, 1)
	for client := range uint32(100) {
		x.Subscribe(client, "name")
	}
	name, visited := []byte("name"), 0
	allocations := testing.AllocsPerRun(100, func() {
		key := table.Lookup(view(name))
		for range key.Loops {
			for range subscribers(x, key) {
				visited++
			}
		}
	})
	if allocations != 0 || visited == 0 {
		t.Errorf("%v allocations for %d visits", allocations, visited)
	}
}
