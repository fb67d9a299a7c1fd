package subs

import (
	"slices"
	"strconv"
	"testing"
	"unsafe"
)

// view is how a caller passes a name that lies in a read buffer.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func TestSubscribersWhileTheBodyChangesThings(t *testing.T) {
	table := NewTable(1)
	x := NewIndex(table, 0)
	for client := range uint32(5) {
		x.Subscribe(client, "t")
	}
	key := table.Lookup("t")

	var visited []uint32
	for client := range x.Subscribers(key) {
		visited = append(visited, client)
		x.Subscribe(100+client, "t")
		x.Unsubscribe(client, "t")
	}
	if want := []uint32{4, 3, 2, 1, 0}; !slices.Equal(visited, want) {
		t.Errorf("visited %v, want %v", visited, want)
	}

	visited = nil
	for client := range x.Subscribers(key) {
		visited = append(visited, client)
		for c := range uint32(200) {
			x.Leave(c)
		}
	}
	if len(visited) != 1 {
		t.Errorf("everyone left at the first visit, and %v were visited", visited)
	}
	nothingLeft(t, x)
	if got := slices.Collect(x.Subscribers(nil)); got != nil {
		t.Errorf("no key has subscribers %v", got)
	}
}

// The roster may become shorter than where the visit stands.
func TestSubscribersWhileMostOthersLeave(t *testing.T) {
	table := NewTable(1)
	x := NewIndex(table, 0)
	for client := range uint32(8) {
		x.Subscribe(client, "t")
	}
	var visited []uint32
	for client := range x.Subscribers(table.Lookup("t")) {
		visited = append(visited, client)
		for gone := uint32(1); gone < 7; gone++ {
			x.Leave(gone)
		}
	}
	if !slices.Contains(visited, 0) || !slices.Contains(visited, 7) || x.Count() != 2 {
		t.Errorf("0 and 7 stayed, %v were visited", visited)
	}
}

// None may be skipped even when the body removes those that are still to come.
func TestSubscribersNeverSkips(t *testing.T) {
	for victim := range uint32(6) {
		for at := range uint32(6) {
			table := NewTable(1)
			x := NewIndex(table, 0)
			for client := range uint32(6) {
				x.Subscribe(client, "t")
			}
			visited := make(map[uint32]bool)
			for client := range x.Subscribers(table.Lookup("t")) {
				visited[client] = true
				if client == at {
					x.Leave(victim)
				}
			}
			for client := range uint32(6) {
				if !visited[client] && client != victim {
					t.Errorf("%d left at the visit of %d: %d was skipped", victim, at, client)
				}
			}
		}
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
			for range x.Subscribers(key) {
				visited++
			}
		}
	})
	if allocations != 0 || visited == 0 {
		t.Errorf("%v allocations for %d visits", allocations, visited)
	}
}
