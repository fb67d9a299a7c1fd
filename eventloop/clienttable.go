package eventloop

import "github.com/busbar-ws/busbar/eventloop/internal/admission"

// clientTable is a loop's clients: a slab by slot, and groups of clients with one label.
// Owned by its loop.
//
// Slot 0 is never used, so that it can mean "none" in links and ids.
type clientTable struct {
	base        uint64 // what all ids of this loop have in common
	slots       []*Client
	generations []uint32 // how often each slot was used, part of the ids
	free        []uint32
	count       int
	sources     admission.Sources

	groups [labelKinds]map[string]*group

	visited  Label  // of the visit that is under way
	nextSlot uint32 // that it goes on with, 0 at its end. Newcomers are put ahead of who was there before
}

// group is a list of clients, linked through them: those of one label name, or those whose upgrade
// request isn't complete, which have no label yet and use its links. Slots of 0 are none.
type group struct {
	name        string
	first, last uint32 // the newest and the oldest
}

// An id is node · generation · slot · loop, 8 · 17 · 21 · 7 bits: below 2^53, found without a map,
// and never the same twice, because a slot whose generations are used up is retired.
const (
	loopBits       = 7
	slotBits       = 21
	generationBits = 17
	nodeBits       = 8

	maxSlots       = 1 << slotBits
	maxGenerations = 1 << generationBits
	maxNodes       = 1 << nodeBits
)

// NodeOf is the node that a client is at (Options.Node).
func NodeOf(id uint64) int { return int(id >> (generationBits + slotBits + loopBits)) }

// LoopOf is the loop, of its node, that a client belongs to.
func LoopOf(id uint64) int { return loopOf(id) }

func loopOf(id uint64) int { return int(id & (1<<loopBits - 1)) }

func slotOf(id uint64) uint32 { return uint32(id>>loopBits) & (maxSlots - 1) }

func newClientTable(node, loop int) clientTable {
	base := uint64(node)<<(generationBits+slotBits+loopBits) | uint64(loop)
	r := clientTable{base: base, slots: make([]*Client, 1), generations: make([]uint32, 1)}
	for i := range r.groups {
		r.groups[i] = make(map[string]*group)
	}
	return r
}

// add gives the client a slot and an id; false when the loop has no slot left.
func (r *clientTable) add(c *Client) bool {
	switch {
	case len(r.free) > 0:
		c.slot = r.free[len(r.free)-1]
		r.free = r.free[:len(r.free)-1]
	case len(r.slots) < maxSlots:
		c.slot = uint32(len(r.slots))
		r.slots = append(r.slots, nil)
		r.generations = append(r.generations, 0)
	default:
		return false
	}
	c.id = r.base | uint64(r.generations[c.slot])<<(slotBits+loopBits) | uint64(c.slot)<<loopBits
	r.slots[c.slot] = c
	r.count++
	return true
}

func (r *clientTable) remove(c *Client) {
	for kind := range c.groups {
		r.unlabel(c, Label(kind))
	}
	r.slots[c.slot] = nil
	r.count--
	if r.generations[c.slot]++; r.generations[c.slot] < maxGenerations {
		r.free = append(r.free, c.slot)
	}
}

// find is the client of that id, nil when it has gone.
func (r *clientTable) find(id uint64) *Client {
	slot := slotOf(id)
	if slot == 0 || int(slot) >= len(r.slots) {
		return nil
	}
	if c := r.slots[slot]; c != nil && c.id == id {
		return c
	}
	return nil
}

func (r *clientTable) label(c *Client, kind Label, name string) {
	g := r.groups[kind][name]
	if g == nil {
		g = &group{name: name}
		r.groups[kind][name] = g
	}
	c.groups[kind] = g
	r.link(g, c, kind)
}

func (r *clientTable) unlabel(c *Client, kind Label) {
	g := c.groups[kind]
	if g == nil {
		return
	}
	if r.nextSlot == c.slot && r.visited == kind {
		r.nextSlot = c.next[kind]
	}
	r.unlink(g, c, kind)
	c.groups[kind] = nil
	if g.first == 0 {
		delete(r.groups[kind], g.name)
	}
}

func (r *clientTable) link(g *group, c *Client, kind Label) {
	if c.next[kind], c.prev[kind] = g.first, 0; g.first != 0 {
		r.slots[g.first].prev[kind] = c.slot
	} else {
		g.last = c.slot
	}
	g.first = c.slot
}

func (r *clientTable) unlink(g *group, c *Client, kind Label) {
	if c.prev[kind] != 0 {
		r.slots[c.prev[kind]].next[kind] = c.next[kind]
	} else {
		g.first = c.next[kind]
	}
	if c.next[kind] != 0 {
		r.slots[c.next[kind]].prev[kind] = c.prev[kind]
	} else {
		g.last = c.prev[kind]
	}
}

// visit begins to visit the clients of one label name, and ends the visit before.
func (r *clientTable) visit(kind Label, name string) {
	r.visited, r.nextSlot = kind, 0
	if g := r.groups[kind][name]; g != nil {
		r.nextSlot = g.first
	}
}

// next is the next client of the visit, and nil at its end. Each client that has the label from the
// visit's beginning to its turn is returned once, and nobody else is.
func (r *clientTable) next() *Client {
	if r.nextSlot == 0 {
		return nil
	}
	c := r.slots[r.nextSlot]
	r.nextSlot = c.next[r.visited]
	return c
}
