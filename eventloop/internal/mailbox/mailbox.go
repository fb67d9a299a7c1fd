// Package mailbox is the queue in front of a goroutine: any goroutine puts, one takes. It is
// pure: whoever puts is told when the taker has to be woken, and does that by itself.
package mailbox

import "sync"

// Item is what was put into a mailbox: a message or a task.
type Item[E any] struct {
	Value E
	size  int // of a message, in bytes
	kind  kind
}

// kind is how much something in a mailbox matters. It stands beside the value, because a put into
// a full box looks at very many.
type kind uint8

const (
	dead     kind = iota // it was dropped
	task                 // never dropped, nor counted: each belongs to something that is itself bounded
	lossy                // a message that is the first to go
	reliable             // a message
)

// Live is false for what was dropped and has left its place behind.
func (i *Item[E]) Live() bool { return i.kind != dead }

// Box is a mailbox. Its fields are set before it is used; its methods are safe from any
// goroutine, but Take, TakeWritable, SetQuiet and End, which are the taker's.
//
// Messages are bounded in count and bytes. The order of what is taken is the order in which it
// was put.
type Box[E any] struct {
	MaxMessages, MaxBytes int
	// Drop is called for each value that is let go of, also one that is being put, with the box
	// locked: it mustn't come back here.
	Drop func(E)
	// Taken, unless it is nil, is called at each Take, with the box locked too: what was let go of until then
	// went ahead of what is put from then on.
	Taken func()

	mu       sync.Mutex
	items    []Item[E]
	writable []uint32 // see PutWritable

	messages, bytes int
	dead            int // items that were dropped and still take a place

	shut bool // the taker has ended
	told bool // the taker knows that there's something to take, or is about to
	// quiet: the taker comes by itself in a while, and needn't be told of messages before
	// the box is half full.
	quiet bool

	emptied chan struct{} // closed at the next take; nil when nobody waits for that

	// Invariant: no live lossy message stands before items[lossyFrom]. Without it
	// each put into a full mailbox of 1,024 reliable ones would search all of them.
	lossyFrom int
}

// Dropped is how many messages a full box let go of.
type Dropped struct{ Lossy, Reliable int }

// drop is called with the box locked.
func (b *Box[E]) drop(i *Item[E], d *Dropped) {
	if i.kind == lossy {
		d.Lossy++
	} else {
		d.Reliable++
	}
	b.Drop(i.Value)
}

// Put adds a message of size bytes and never blocks. When the box is full the oldest message
// that may be lost goes first, the incoming one included, then the oldest of all. A message that
// would not fit into an empty box pushes nothing out. wake is true when the taker has to be told,
// once between two takes. With more to come it isn't told before the box is more than half full:
// the publisher calls Tell at the end.
func (b *Box[E]) Put(e E, size int, mayBeLost, more bool) (dropped Dropped, wake bool) {
	item := Item[E]{e, size, reliable}
	if mayBeLost {
		item.kind = lossy
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shut {
		b.Drop(e)
		return dropped, false
	}
	if size > b.MaxBytes {
		b.drop(&item, &dropped)
		return dropped, b.mustTell()
	}
	for b.messages+1 > b.MaxMessages || b.bytes+size > b.MaxBytes {
		victim := b.victim(mayBeLost)
		if victim < 0 {
			b.drop(&item, &dropped)
			return dropped, false // nobody is told of a lossy one
		}
		b.drop(&b.items[victim], &dropped)
		b.bury(victim)
	}
	b.messages++
	b.bytes += size
	b.push(item)
	return dropped, (!more && !b.quiet || b.halfFull()) && b.mustTell()
}

// PutTask adds a task, which is never dropped while the taker runs.
func (b *Box[E]) PutTask(e E) (wake bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shut {
		b.Drop(e)
		return false
	}
	b.push(Item[E]{Value: e, kind: task})
	return b.mustTell()
}

// PutWritable notes that the socket of the client in that slot has room again.
func (b *Box[E]) PutWritable(slot uint32) (wake bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.writable = append(b.writable, slot)
	return b.mustTell()
}

// PutNothing is whether the taker has to be told to look at what isn't in here.
func (b *Box[E]) PutNothing() (wake bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mustTell()
}

// Tell is whether the taker has to be told of what was put with more to come.
func (b *Box[E]) Tell() (wake bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.empty() && !b.quiet && b.mustTell()
}

// SetQuiet says whether the taker comes by itself.
func (b *Box[E]) SetQuiet(quiet bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.quiet && !quiet && !b.empty() {
		b.told = true // what came meanwhile: the taker looks at its end
	}
	b.quiet = quiet
}

// Told is whether something was put that the taker hasn't taken and must not leave.
func (b *Box[E]) Told() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.told
}

func (b *Box[E]) mustTell() bool {
	untold := !b.told
	b.told = true
	return untold
}

func (b *Box[E]) empty() bool { return len(b.items) == b.dead && len(b.writable) == 0 }

func (b *Box[E]) push(i Item[E]) {
	if b.dead > 64 && b.dead > len(b.items)/2 {
		b.compact()
	}
	b.items = append(b.items, i)
}

// victim is the index of the message that has to go, or -1: the incoming one.
func (b *Box[E]) victim(incomingLossy bool) int {
	first := -1
	for i := range b.items {
		if b.items[i].kind >= lossy {
			first = i
			break
		}
	}
	for i := b.lossyFrom; i < len(b.items); i++ {
		if b.items[i].kind == lossy {
			b.lossyFrom = i
			return i
		}
	}
	b.lossyFrom = len(b.items)
	if incomingLossy {
		return -1
	}
	return first
}

func (b *Box[E]) bury(i int) {
	b.messages--
	b.bytes -= b.items[i].size
	b.items[i] = Item[E]{}
	b.dead++
}

func (b *Box[E]) compact() {
	live := b.items[:0]
	for _, i := range b.items {
		if i.kind != dead {
			live = append(live, i)
		}
	}
	clear(b.items[len(live):])
	b.items, b.dead, b.lossyFrom = live, 0, 0
}

// Take hands over everything that has piled up, in order, and leaves the box empty.
// The two slices are what an earlier Take returned, emptied: they are swapped in, so
// that a busy taker allocates nothing. Some may not be live.
func (b *Box[E]) Take(items []Item[E], writable []uint32) ([]Item[E], []uint32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.Taken != nil {
		b.Taken()
	}
	i, w := b.items, b.writable
	b.items, b.writable = items[:0], writable[:0]
	b.messages, b.bytes, b.dead, b.lossyFrom, b.told = 0, 0, 0, 0, false
	if b.emptied != nil {
		close(b.emptied)
		b.emptied = nil
	}
	return i, w
}

// TakeWritable is Take for a taker that hasn't come to the end yet of what it took before.
func (b *Box[E]) TakeWritable(writable []uint32) []uint32 {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.writable
	b.writable = writable[:0]
	return w
}

// End is Take for a taker that has ended: all that is put from here on is dropped.
func (b *Box[E]) End() []Item[E] {
	b.mu.Lock()
	b.shut = true
	b.mu.Unlock()
	items, _ := b.Take(nil, nil)
	return items
}

// Drained is nil when the box is at most half full, and otherwise closed when it has been
// emptied.
func (b *Box[E]) Drained() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.halfFull() {
		return nil
	}
	if b.emptied == nil {
		b.emptied = make(chan struct{})
	}
	return b.emptied
}

// halfFull is when whoever can wait does.
func (b *Box[E]) halfFull() bool { return 2*b.messages > b.MaxMessages || 2*b.bytes > b.MaxBytes }

// Depth is how many messages and bytes wait right now.
func (b *Box[E]) Depth() (messages, bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.messages, b.bytes
}
