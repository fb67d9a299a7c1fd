package subs

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// Many loops fight over few names, so that keys die and are born again all the time.
func TestLookupSeesASubscriptionThatReturned(t *testing.T) {
	const loops, rounds, names = 8, 3000, 3
	table := NewTable(loops)
	var done atomic.Bool
	var lookers, owners sync.WaitGroup
	for range 2 {
		lookers.Go(func() { lookAround(table, names, &done) })
	}
	for loop := range loops {
		owners.Go(func() {
			x := NewIndex(table, loop)
			for round := range rounds {
				name := fmt.Sprint("name/", (round+loop)%names)
				x.Subscribe(1, name)
				key := table.Lookup(name)
				if key == nil || !key.Wanted(loop) {
					t.Errorf("loop %d, round %d: subscribed, and a lookup doesn't see it", loop, round)
					return
				}
				if got := slices.Collect(subscribers(x, key)); !slices.Equal(got, []uint32{1}) {
					t.Errorf("loop %d, round %d: subscribers are %v", loop, round, got)
					return
				}
				if x.Leave(1); key.Wanted(loop) {
					t.Errorf("loop %d, round %d: left, and the key still wants it", loop, round)
					return
				}
			}
			nothingLeft(t, x)
		})
	}
	owners.Wait()
	done.Store(true)
	lookers.Wait()
	tableEmpty(t, table)
}

func lookAround(table *Table, names int, done *atomic.Bool) {
	for !done.Load() {
		for n := range names {
			if key := table.Lookup(fmt.Sprint("name/", n)); key != nil {
				key.Loops(func(int) bool { return true })
			}
		}
	}
}

// A loop that comes while another one's last subscriber is leaving must not end up
// with the key that is being removed.
func TestAcquireNeverReturnsADyingKey(t *testing.T) {
	table := NewTable(2)
	first := table.acquire("name", 0)
	first.clear(0)
	if !first.drop() { // dead, and still in the table
		t.Fatal("the last holder left and the key lives")
	}
	if table.Lookup("name") != nil {
		t.Error("a dead key was found")
	}
	second := table.acquire("name", 1)
	table.remove(first) // the first loop's release comes to its end only now
	if second == first || table.Lookup("name") != second || table.Keys() != 1 {
		t.Errorf("the second loop's key isn't the table's; Keys() = %d", table.Keys())
	}
	table.release(second, 1)
	tableEmpty(t, table)
}

func TestLoopNumbers(t *testing.T) {
	for _, c := range []struct{ asked, last int }{{-1, 0}, {0, 0}, {1, 0}, {65, 64}, {128, 127}, {500, 127}} {
		table := NewTable(c.asked)
		for _, loop := range []int{-1, c.last + 1} {
			if NewIndex(table, loop).Subscribe(1, "name") {
				t.Errorf("NewTable(%d) took loop %d", c.asked, loop)
			}
		}
		if !NewIndex(table, c.last).Subscribe(1, "name") {
			t.Fatalf("NewTable(%d) refused loop %d", c.asked, c.last)
		}
		key := table.Lookup("name")
		if got := slices.Collect(key.Loops); !slices.Equal(got, []int{c.last}) {
			t.Errorf("NewTable(%d): loops %v, want %d", c.asked, got, c.last)
		}
		if key.Wanted(-1) || key.Wanted(MaxLoops) || !key.Wanted(c.last) || key.Name() != "name" {
			t.Errorf("NewTable(%d): wrong key %q", c.asked, key.Name())
		}
	}
}

func TestNamesAreCopied(t *testing.T) {
	x := NewIndex(NewTable(1), 0)
	buffer := []byte("name")
	x.Subscribe(1, view(buffer))
	copy(buffer, "eman")
	if !x.Has(1, "name") || x.Has(1, "eman") {
		t.Error("the index kept the caller's buffer")
	}
}
