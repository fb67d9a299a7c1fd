package subs

import (
	"strings"
	"sync"
	"sync/atomic"
)

// MaxLoops is how many event loops can share a Table.
const MaxLoops = 128

// Table is the interest in names across loops. It is safe from any goroutine, and a
// lookup takes no lock and allocates nothing.
//
// Invariant: once Index.Subscribe has returned on a loop, every Lookup that starts
// after it finds a Key with that loop's bit set, until that loop's last subscriber
// of the name leaves. Were the bit set later, an update published right after the
// subscription would be lost to the new subscriber.
type Table struct {
	loops int
	keys  sync.Map // name → *Key; no entry without a loop that holds it
	count atomic.Int64
}

// NewTable makes the table that the indexes of so many loops share. A number
// outside 1 to MaxLoops is taken as the nearest one inside.
func NewTable(loops int) *Table {
	return &Table{loops: min(max(loops, 1), MaxLoops)}
}

// Lookup finds the key of a name; nil when no loop has a subscriber. The name isn't
// kept, so it may share memory with a buffer that is about to be reused.
func (t *Table) Lookup(name string) *Key {
	found, ok := t.keys.Load(name)
	if !ok {
		return nil
	}
	key := found.(*Key)
	if key.holders.Load() <= 0 {
		return nil
	}
	return key
}

// Keys is the number of names that have a subscriber on some loop. While
// subscriptions come and go it may be off by those that are under way.
func (t *Table) Keys() int { return int(t.count.Load()) }

// acquire finds or makes the key of a name and notes the loop's interest in it.
// Called once per loop and name, until release.
func (t *Table) acquire(name string, loop int) *Key {
	for {
		found, ok := t.keys.Load(name)
		if !ok {
			// Cloned, because the name may be a view of a read buffer.
			fresh := newKey(strings.Clone(name))
			found, ok = t.keys.LoadOrStore(fresh.name, fresh)
			if !ok {
				t.count.Add(1)
			}
		}
		key := found.(*Key)
		if key.hold() {
			key.set(loop)
			return key
		}
		// The loop that killed the key hasn't removed it yet: do it for that loop,
		// rather than spin until it does.
		t.remove(key)
	}
}

// release withdraws the loop's interest; the last loop to do so removes the key.
func (t *Table) release(key *Key, loop int) {
	key.clear(loop)
	if key.drop() {
		t.remove(key)
	}
}

func (t *Table) remove(key *Key) {
	if t.keys.CompareAndDelete(key.name, key) {
		t.count.Add(-1)
	}
}
