package admission

import (
	"errors"
	"sync"
	"testing"
)

func TestCapacityOf(t *testing.T) {
	for _, c := range []struct{ room, most, connections, overflow int }{
		{room: 1, connections: 1}, {room: 80, connections: 75, overflow: 5}, {room: 1000, connections: 984, overflow: 16},
		{room: 20_000, connections: 19_688, overflow: 312}, {room: 1_000_000, connections: 998_976, overflow: 1024},
		{room: 20_000, most: 6, connections: 6, overflow: 16}, {room: 20_000, most: 19_999, connections: 19_688, overflow: 312},
	} {
		const own = 72
		got, err := CapacityOf(own+c.room, own, c.most)
		if err != nil || got.Connections != c.connections || got.Overflow != c.overflow {
			t.Errorf("%+v: %+v, %v", c, got, err)
		}
	}
	if _, err := CapacityOf(72, 72, 0); !errors.Is(err, ErrDescriptors) {
		t.Errorf("no descriptor left: %v", err)
	}
}

// Whatever comes and goes at once, there are never more inside than there are places, and all of
// them come back.
func TestPlaces(t *testing.T) {
	const most, overflow = 5, 3
	p := NewPlaces(Capacity{Connections: most, Overflow: overflow})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 500 {
				over, ok := p.Enter()
				if _, inOverflow := p.Taken(); ok && over && inOverflow < 1 {
					t.Error("it has a place in the overflow, which is empty")
				}
				if ok {
					p.Leave(over)
				}
			}
		})
	}
	wg.Wait()
	for i := range most + overflow {
		if over, ok := p.Enter(); !ok || over != (i >= most) {
			t.Errorf("number %d: overflow %t, ok %t", i, over, ok)
		}
	}
	if _, ok := p.Enter(); ok {
		t.Error("there is one place too many")
	}
}

func TestPlacesWhileDraining(t *testing.T) {
	p := NewPlaces(Capacity{Connections: 5, Overflow: 1})
	empty := func() bool {
		select {
		case <-p.Empty():
			return true
		default:
			return false
		}
	}
	p.Enter()
	p.Leave(false)
	if p.Enter(); empty() {
		t.Error("empty without Drain")
	}
	if p.Drain(); empty() {
		t.Error("empty with somebody inside")
	}
	if over, ok := p.Enter(); !over || !ok {
		t.Errorf("a newcomer while it drains: overflow %t, ok %t", over, ok)
	}
	if _, ok := p.Enter(); ok {
		t.Error("the overflow is for one, and took another")
	}
	if p.Leave(true); empty() {
		t.Error("empty though only the overflow is")
	}
	if p.Leave(false); !empty() {
		t.Error("not empty when the last has gone")
	}
	p.Drain() // again
}
