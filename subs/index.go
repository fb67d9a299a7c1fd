package subs

import "iter"

// Index is the subscriptions of one loop's clients. It is owned by that loop: no
// method may be called from anywhere else, nor at the same time as another one.
//
// Each subscription stands in two lists, its name's and its client's, and each of
// the two entries knows the other's position. So publishing costs the name's
// subscribers, leaving costs the client's own names, and a removal moves one entry.
type Index struct {
	table *Table
	loop  int
	count int
	size  int // see Size

	rosters []roster        // by slot; freed slots have no key
	free    []uint32        // freed slots
	slots   map[*Key]uint32 // key → slot
	clients map[uint32]holdings
	visit   visit
}

// holdings are one client's subscriptions.
type holdings struct {
	list  []holding
	bytes int // of their names
}

// roster is one name's subscribers on this loop.
type roster struct {
	key         *Key
	subscribers []subscriber
}

// subscriber is an entry of a roster. Invariant: clients[client].list[own] is the holding
// that points back here; a stale position would remove somebody else's subscription.
type subscriber struct{ client, own uint32 }

// holding is an entry of a client's list. Invariant: rosters[slot].subscribers[at] is
// the subscriber that points back here.
type holding struct{ slot, at uint32 }

// NewIndex makes the index of one loop, numbered from 0. There must be only one per
// loop. An index for a loop that the table doesn't have refuses every subscription.
func NewIndex(t *Table, loop int) *Index {
	x := &Index{table: t, loop: loop}
	x.reset()
	return x
}

// reset gives back what was grown: neither maps nor slabs ever shrink by themselves,
// and a loop that a hundred thousand clients have left should not keep their space.
func (x *Index) reset() {
	x.rosters, x.free = nil, nil
	x.slots = make(map[*Key]uint32)
	x.clients = make(map[uint32]holdings)
	x.size = 0
}

// What Size counts, in bytes, besides names: measured by TestSizeIsWhatIsTaken.
const (
	subscriptionSize = 32  // in the two lists, which grow by halves
	clientSize       = 96  // a client's list
	nameSize         = 320 // a name's roster, and its key in the table
)

// Size is about what the loop's subscriptions take, in bytes. A name counts on each loop that has a
// subscriber of it.
func (x *Index) Size() int { return x.size }

// SizeOf is what Size would fall by if the client left, and nobody else had the same names.
func (x *Index) SizeOf(client uint32) int {
	own, known := x.clients[client]
	if !known {
		return 0
	}
	return clientSize + len(own.list)*(subscriptionSize+nameSize) + own.bytes
}

// Subscribe adds the client to the name's subscribers; false when it already was one.
// The name is copied if it is kept. From the return on, every Table.Lookup of the
// name finds this loop.
func (x *Index) Subscribe(client uint32, name string) bool {
	if x.loop < 0 || x.loop >= x.table.loops {
		return false
	}
	slot, known := x.slot(x.table.Lookup(name))
	own := x.clients[client]
	if !known {
		slot = x.open(x.table.acquire(name, x.loop))
	} else if _, is := x.find(client, slot); is {
		return false
	}
	r := &x.rosters[slot]
	x.clients[client] = holdings{
		list:  append(own.list, holding{slot: slot, at: uint32(len(r.subscribers))}),
		bytes: own.bytes + len(name),
	}
	r.subscribers = append(r.subscribers, subscriber{client: client, own: uint32(len(own.list))})
	x.count++
	x.size += subscriptionSize
	if len(own.list) == 0 {
		x.size += clientSize
	}
	return true
}

// Unsubscribe takes the client from the name's subscribers; false when it wasn't one.
func (x *Index) Unsubscribe(client uint32, name string) bool {
	slot, known := x.slot(x.table.Lookup(name))
	if !known {
		return false
	}
	at, is := x.find(client, slot)
	if !is {
		return false
	}
	own := x.rosters[slot].subscribers[at].own
	x.dropHolding(client, own)
	x.dropSubscriber(slot, at)
	x.settle()
	return true
}

// Leave drops all of a client's subscriptions and returns how many there were. It
// costs the client's own names, however many others subscribed to them.
func (x *Index) Leave(client uint32) int {
	own := x.clients[client].list
	x.dropClient(client)
	for _, h := range own {
		x.dropSubscriber(h.slot, h.at)
	}
	x.settle()
	return len(own)
}

// Has reports whether the client subscribed to the name.
func (x *Index) Has(client uint32, name string) bool {
	slot, known := x.slot(x.table.Lookup(name))
	if !known {
		return false
	}
	_, is := x.find(client, slot)
	return is
}

// CountOf is the number of names that the client subscribed to.
func (x *Index) CountOf(client uint32) int { return len(x.clients[client].list) }

// BytesOf is how long those names are together.
func (x *Index) BytesOf(client uint32) int { return x.clients[client].bytes }

// NameAt is the name at a position in the client's list, below CountOf. A subscription that ends has the
// last of the list put in its place; a new one comes behind all.
func (x *Index) NameAt(client uint32, i int) string {
	return x.rosters[x.clients[client].list[i].slot].key.name
}

// Count is the number of subscriptions: pairs of a client and a name.
func (x *Index) Count() int { return x.count }

// Names yields what the client subscribed to, in no order. The client's
// subscriptions must not change during the iteration.
func (x *Index) Names(client uint32) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, h := range x.clients[client].list {
			if !yield(x.rosters[h.slot].key.name) {
				return
			}
		}
	}
}
