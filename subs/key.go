package subs

import (
	"math/bits"
	"sync/atomic"
)

// dead is the holder count of a key that was, or is about to be, removed from its
// table. It never changes again.
const dead = -1

// Key is a name that some loop has a subscriber of. It is safe from any goroutine.
//
// A Key that was looked up may be kept as long as one likes: when the last
// subscriber is gone it merely wants no loop any more, and Index.Visit still
// answers for its name.
type Key struct {
	name    string
	holders atomic.Int32 // loops that hold the key, or dead

	// Invariant: a loop's bit is set only while that loop is one of the holders. Were
	// it set before, a key could die with a bit set, and what is published to it
	// would wake a loop for nothing.
	mask [MaxLoops / 64]atomic.Uint64
}

func newKey(name string) *Key { return &Key{name: name} }

// Name is what was subscribed to.
func (k *Key) Name() string { return k.name }

// Wanted reports whether the loop has a subscriber; false for a loop that the table
// doesn't have.
func (k *Key) Wanted(loop int) bool {
	if loop < 0 || loop >= MaxLoops {
		return false
	}
	return k.mask[loop/64].Load()&(1<<(loop%64)) != 0
}

// Loops yields the loops that have a subscriber, in rising order. It is an
// iter.Seq[int]: range over key.Loops.
func (k *Key) Loops(yield func(loop int) bool) {
	for i := range k.mask {
		for word := k.mask[i].Load(); word != 0; word &= word - 1 {
			if !yield(i*64 + bits.TrailingZeros64(word)) {
				return
			}
		}
	}
}

func (k *Key) set(loop int)   { k.mask[loop/64].Or(1 << (loop % 64)) }
func (k *Key) clear(loop int) { k.mask[loop/64].And(^uint64(1 << (loop % 64))) }

// hold adds a holder, and fails on a dead key.
func (k *Key) hold() bool {
	for {
		n := k.holders.Load()
		if n == dead {
			return false
		}
		if k.holders.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// drop takes a holder away and reports whether the key died of it. Between the two
// steps another loop may hold the key again, which then lives on.
func (k *Key) drop() bool {
	return k.holders.Add(-1) == 0 && k.holders.CompareAndSwap(0, dead)
}
