package eventloop

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// rosterTest is a client table and what should be in it.
type clientTableTest struct {
	t      *testing.T
	r      clientTable
	random *rand.Rand
	live   map[uint64]*Client
	ever   map[uint64]bool
	labels [labelKinds]map[uint64]string
}

func newClientTableTest(t *testing.T, seed uint64) *clientTableTest {
	x := &clientTableTest{t: t, r: newClientTable(5, 3), random: rand.New(rand.NewPCG(seed, 5)),
		live: make(map[uint64]*Client), ever: make(map[uint64]bool)}
	for i := range x.labels {
		x.labels[i] = make(map[uint64]string)
	}
	return x
}

func (x *clientTableTest) add() {
	c := new(Client)
	if !x.r.add(c) {
		x.t.Fatal("no slot left")
	}
	if x.ever[c.id] || c.id == 0 || c.id >= 1<<53 || loopOf(c.id) != 3 {
		x.t.Fatalf("id %d: used before: %v", c.id, x.ever[c.id])
	}
	x.ever[c.id], x.live[c.id] = true, c
}

func (x *clientTableTest) any() *Client {
	ids := slices.Sorted(maps.Keys(x.live))
	if len(ids) == 0 {
		return nil
	}
	return x.live[ids[x.random.IntN(len(ids))]]
}

func (x *clientTableTest) remove(c *Client) {
	x.r.remove(c)
	delete(x.live, c.id)
	for kind := range x.labels {
		delete(x.labels[kind], c.id)
	}
}

func (x *clientTableTest) label(c *Client, kind Label, name string) {
	if x.labels[kind][c.id] == "" && name != "" {
		x.r.label(c, kind, name)
		x.labels[kind][c.id] = name
	}
}

func (x *clientTableTest) unlabel(c *Client, kind Label) {
	x.r.unlabel(c, kind)
	delete(x.labels[kind], c.id)
}

func (x *clientTableTest) step() {
	c := x.any()
	kind, name := Label(x.random.IntN(int(labelKinds))), fmt.Sprint("name", x.random.IntN(4))
	switch op := x.random.IntN(10); {
	case c == nil || op < 3:
		x.add()
	case op < 5:
		x.remove(c)
	case op < 8:
		x.label(c, kind, name)
	case op < 9:
		x.unlabel(c, kind)
	default:
		x.visitWhileTheyLeave(kind, name)
	}
}

func (x *clientTableTest) members(kind Label, name string) (ids []uint64) {
	for id, n := range x.labels[kind] {
		if n == name {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// visitWhileTheyLeave: some of the visited go while they are visited.
func (x *clientTableTest) visitWhileTheyLeave(kind Label, name string) {
	want := x.members(kind, name)
	var visited []uint64
	x.r.visit(kind, name)
	for c := x.r.next(); c != nil; c = x.r.next() {
		visited = append(visited, c.id)
		switch x.random.IntN(4) {
		case 0:
			x.remove(c)
		case 1:
			x.unlabel(c, kind)
		}
	}
	slices.Sort(visited)
	if !slices.Equal(visited, want) {
		x.t.Fatalf("visited %v, want %v", visited, want)
	}
}

func (x *clientTableTest) check() {
	if x.r.count != len(x.live) {
		x.t.Fatalf("%d clients, want %d", x.r.count, len(x.live))
	}
	for id := range x.ever {
		if x.r.find(id) != x.live[id] {
			x.t.Fatalf("client %d: found %v, want %v", id, x.r.find(id), x.live[id])
		}
	}
	for kind := range x.labels {
		names := make(map[string]bool)
		for _, name := range x.labels[kind] {
			names[name] = true
		}
		if len(x.r.groups[kind]) != len(names) {
			x.t.Fatalf("%d names of kind %d are kept, %d have clients", len(x.r.groups[kind]), kind, len(names))
		}
	}
}

// Against maps: ids are never used again, labels follow their clients.
func TestClientTableIsLikeAMap(t *testing.T) {
	for seed := range uint64(20) {
		x := newClientTableTest(t, seed)
		for range 400 {
			x.step()
			x.check()
		}
		for _, c := range x.live {
			x.remove(c)
		}
		x.check()
	}
}

// docs/protocol.md section 3: a clientId is a number below 2^53 that is never used again. A slot whose
// numbers are used up is given up.
func TestClientTableRetiresASlot(t *testing.T) {
	r := newClientTable(maxNodes-1, 1<<loopBits-1)
	c := new(Client)
	r.add(c)
	r.remove(c)
	r.generations[c.slot] = maxGenerations - 1
	r.add(c)
	if last := c.id; last >= 1<<53 || r.find(last) != c {
		t.Errorf("the last id of a slot is %d", last)
	}
	slot := c.slot
	r.remove(c)
	if r.add(c); c.slot == slot {
		t.Error("a slot was used again though its ids are used up")
	}
	if greatest := uint64(1)<<(nodeBits+generationBits+slotBits+loopBits) - 1; greatest >= 1<<53 {
		t.Errorf("ids go up to %d", greatest)
	}
}

func TestByLoop(t *testing.T) {
	id := func(slot, loop uint64) uint64 { return slot<<loopBits | loop }
	got := byLoop([]uint64{id(1, 0), id(1, 2), id(2, 0), id(9, 3), id(7, 127)}, 3)
	want := [][]uint64{{id(1, 0), id(2, 0)}, nil, {id(1, 2)}}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %v, want %v: ids of loops that don't exist are nobody's", got, want)
	}
}
