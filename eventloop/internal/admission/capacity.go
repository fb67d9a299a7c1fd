// Package admission decides who may be connected: how many at a time, how many of them from one
// address, what a proxy is believed about where they come from, and how fast they are taken in. It
// has no socket and no clock: times are handed in.
package admission

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// ErrDescriptors: the descriptor limit leaves no room for clients.
var ErrDescriptors = errors.New("descriptor limit too low")

// Capacity says how many connections there can be.
type Capacity struct {
	Connections int
	Overflow    int    // connections beyond these that are told to come back later
	Descriptors int    // RLIMIT_NOFILE as it is now
	LimitedBy   string // what would have to change for more, in words

	room       int    // that descriptors leave
	descriptor string // LimitedBy where that is the limit
}

// CapacityOf is how many connections there can be with so many descriptors, of which the server
// needs some itself. most bounds them, 0 doesn't.
func CapacityOf(descriptors, own, most int) (Capacity, error) {
	room := descriptors - own
	if room < 1 {
		return Capacity{}, fmt.Errorf("%w: %d descriptors, of which the server needs %d for itself; raise it (ulimit -n)",
			ErrDescriptors, descriptors, own)
	}
	connections := room
	if most > 0 {
		connections = min(most, room)
	}
	overflow := min(max(connections/64, 16), 1024, room/16)
	room -= overflow
	own += overflow
	c := Capacity{Overflow: overflow, Descriptors: descriptors, room: room,
		descriptor: fmt.Sprintf("the descriptor limit of %d (ulimit -n), %d of them reserved", descriptors, own)}
	c.limit(most)
	return c, nil
}

func (c *Capacity) limit(most int) {
	c.Connections, c.LimitedBy = c.room, c.descriptor
	if most > 0 && most < c.room {
		c.Connections, c.LimitedBy = most, "-max-connections"
	}
}

// Places are the connections that there are. Safe from any goroutine.
//
// The overflow is for those beyond the capacity, and for all that come while the server drains:
// they may ask, and are told when they may come back.
type Places struct {
	capacity atomic.Pointer[Capacity]

	taken     atomic.Int64
	overflow  atomic.Int64
	draining  atomic.Bool
	empty     chan struct{}
	emptyOnce sync.Once
}

// NewPlaces are all free.
func NewPlaces(c Capacity) *Places {
	p := &Places{empty: make(chan struct{})}
	p.capacity.Store(&c)
	return p
}

// Capacity is how many there may be.
func (p *Places) Capacity() Capacity { return *p.capacity.Load() }

// Limit has at most so many connections from here on, 0 for as many as descriptors allow. Those that there are
// stay, and the overflow remains what it was.
func (p *Places) Limit(most int) {
	c := p.Capacity()
	c.limit(most)
	p.capacity.Store(&c)
}

// Enter takes a place for a newcomer: among the connections, or else in the overflow. It is not ok
// when that is full too. The place is given back by Leave.
func (p *Places) Enter() (overflow, ok bool) {
	// Counted before draining is looked at: a newcomer that Drain doesn't see sees that.
	c := p.capacity.Load()
	if n := p.taken.Add(1); n <= int64(c.Connections) && !p.draining.Load() {
		return false, true
	}
	p.Leave(false)
	if p.overflow.Add(1) > int64(c.Overflow) {
		p.overflow.Add(-1)
		return true, false
	}
	return true, true
}

// Leave gives back a place.
func (p *Places) Leave(overflow bool) {
	if overflow {
		p.overflow.Add(-1)
		return
	}
	p.taken.Add(-1)
	p.checkEmpty()
}

// Drain has everybody enter the overflow from here on.
func (p *Places) Drain() {
	p.draining.Store(true)
	p.checkEmpty()
}

func (p *Places) checkEmpty() {
	if p.draining.Load() && p.taken.Load() == 0 {
		p.emptyOnce.Do(func() { close(p.empty) })
	}
}

// Draining is true once Drain was called.
func (p *Places) Draining() bool { return p.draining.Load() }

// Empty is closed when Drain was called and the last connection has left.
func (p *Places) Empty() <-chan struct{} { return p.empty }

// Taken is how many connections there are, and how many in the overflow besides.
func (p *Places) Taken() (connections, overflow int) {
	return int(p.taken.Load()), int(p.overflow.Load())
}
