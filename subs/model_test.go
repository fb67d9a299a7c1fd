package subs

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// model is the plainest thing that an Index could be: name → clients, per loop.
type model []map[string]map[uint32]bool

func (m model) leave(loop int, client uint32) (n int) {
	for name, clients := range m[loop] {
		if clients[client] {
			n++
			m.drop(loop, client, name)
		}
	}
	return n
}

func (m model) drop(loop int, client uint32, name string) bool {
	was := m[loop][name][client]
	delete(m[loop][name], client)
	if len(m[loop][name]) == 0 {
		delete(m[loop], name)
	}
	return was
}

func (m model) add(loop int, client uint32, name string) bool {
	if m[loop][name][client] {
		return false
	}
	if m[loop][name] == nil {
		m[loop][name] = make(map[uint32]bool)
	}
	m[loop][name][client] = true
	return true
}

// life plays operations on indexes and on the model, and compares what they answer.
type life struct {
	t       *testing.T
	table   *Table
	indexes []*Index
	model   model
	stale   map[string]*Key // keys that publishers held on to
}

func newLife(t *testing.T, loops int) *life {
	l := &life{t: t, table: NewTable(loops), stale: make(map[string]*Key)}
	for loop := range loops {
		l.indexes = append(l.indexes, NewIndex(l.table, loop))
		l.model = append(l.model, make(map[string]map[uint32]bool))
	}
	return l
}

func (l *life) step(op, loopByte, clientByte, nameByte byte) {
	l.t.Helper()
	loop, client := int(loopByte)%len(l.indexes), uint32(clientByte%24)
	name, x := fmt.Sprintf("name/%d", nameByte%20), l.indexes[loop]
	switch op % 8 {
	case 0, 1, 2:
		l.same("Subscribe", x.Subscribe(client, name), l.model.add(loop, client, name))
	case 3, 4:
		l.same("Unsubscribe", x.Unsubscribe(client, name), l.model.drop(loop, client, name))
	case 5:
		l.same("Leave", x.Leave(client), l.model.leave(loop, client))
	case 6:
		l.publish(loop, name, nil)
	case 7:
		// Every client of one parity fails while it is visited.
		l.publish(loop, name, func(c uint32) bool { return c%2 == client%2 })
	}
	l.same("Has", x.Has(client, name), l.model[loop][name][client])
	l.interest(name)
}

// publish visits the subscribers by whichever key of the name was seen first.
func (l *life) publish(loop int, name string, fails func(uint32) bool) {
	l.t.Helper()
	want := slices.Sorted(maps.Keys(l.model[loop][name]))
	key := l.stale[name]
	if key == nil {
		key = l.table.Lookup(name)
		l.stale[name] = key
	}
	var got []uint32
	for client := range subscribers(l.indexes[loop], key) {
		got = append(got, client)
		if fails != nil && fails(client) {
			l.same("Leave while visited", l.indexes[loop].Leave(client), l.model.leave(loop, client))
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		l.t.Fatalf("subscribers of %s on loop %d: got %v, want %v", name, loop, got, want)
	}
}

// interest checks which loops the table says want the name.
func (l *life) interest(name string) {
	l.t.Helper()
	key := l.table.Lookup(name)
	for loop := range l.indexes {
		l.same("Wanted", key != nil && key.Wanted(loop), len(l.model[loop][name]) > 0)
	}
}

func (l *life) same(what string, got, want any) {
	l.t.Helper()
	if got != want {
		l.t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// end compares the totals, lets everybody leave, and checks that nothing is left.
func (l *life) end() {
	l.t.Helper()
	for loop, x := range l.indexes {
		total, size, known := 0, 0, make(map[string]bool)
		for client := range uint32(24) {
			names := slices.Sorted(x.Names(client))
			at := 0
			for name := range x.Names(client) {
				l.same("NameAt", x.NameAt(client, at), name)
				at++
			}
			l.same("CountOf", x.CountOf(client), len(names))
			l.same("BytesOf", x.BytesOf(client), len(strings.Join(names, "")))
			total += len(names)
			size += min(len(names), 1)*clientSize + len(names)*subscriptionSize
			for _, name := range names {
				if !known[name] {
					known[name] = true
					size += nameSize + len(name)
				}
				l.same("Names yields "+name, true, l.model[loop][name][client])
			}
		}
		l.same("Count", x.Count(), total)
		l.same("Size", x.Size(), size)
		for client := range uint32(24) {
			l.same("Leave at the end", x.Leave(client), l.model.leave(loop, client))
		}
		nothingLeft(l.t, x)
	}
	tableEmpty(l.t, l.table)
}

func nothingLeft(t *testing.T, x *Index) {
	t.Helper()
	if x.Count() != 0 || len(x.slots) != 0 || len(x.clients) != 0 || len(x.rosters) != 0 || len(x.free) != 0 {
		t.Errorf("left behind: %d subscriptions, %d keys, %d clients, %d rosters, %d free slots",
			x.Count(), len(x.slots), len(x.clients), len(x.rosters), len(x.free))
	}
}

func tableEmpty(t *testing.T, table *Table) {
	t.Helper()
	entries := 0
	table.keys.Range(func(any, any) bool { entries++; return true })
	if entries != 0 || table.Keys() != 0 {
		t.Errorf("left in the table: %d entries, Keys() = %d", entries, table.Keys())
	}
}

func TestRandomLife(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			l := newLife(t, 3)
			for range 5000 {
				n := random.Uint32()
				l.step(byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
			}
			l.end()
		})
	}
}

func FuzzLife(f *testing.F) {
	f.Add([]byte{0, 0, 1, 1, 0, 1, 1, 1, 7, 0, 1, 1})
	f.Add([]byte{0, 0, 1, 1, 6, 0, 1, 1, 5, 0, 1, 1, 0, 0, 2, 1, 6, 0, 2, 1})
	f.Fuzz(func(t *testing.T, ops []byte) {
		l := newLife(t, 3)
		for ; len(ops) >= 4; ops = ops[4:] {
			l.step(ops[0], ops[1], ops[2], ops[3])
		}
		l.end()
	})
}
