package admission

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Network is what limits for an address go by: of IPv6 the /64, for whoever has one of its
// addresses has the 2^64 others (RFC 4291 section 2.5.4).
func Network(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return a
	}
	p, _ := a.WithZone("").Prefix(64) // can't fail: 64 is not above 128
	return p.Addr()
}

// Addresses count connections by network. Safe from any goroutine; loops meet here once when a
// connection opens and once when it closes.
type Addresses struct {
	most   atomic.Int64 // negative: no cap, nothing is counted
	seed   maphash.Seed
	shards [64]shard
}

type shard struct {
	mu    sync.Mutex
	count map[netip.Addr]int32
	_     [48]byte // a cache line for each
}

// NewAddresses lets each network have so many connections; a negative number is no bound.
func NewAddresses(most int) *Addresses {
	a := &Addresses{seed: maphash.MakeSeed()}
	a.most.Store(int64(most))
	for i := range a.shards {
		a.shards[i].count = make(map[netip.Addr]int32)
	}
	return a
}

// Most is how many connections a network may have.
func (a *Addresses) Most() int { return int(a.most.Load()) }

// Limit is NewAddresses' number from here on. A bound can be neither given up nor begun: what wasn't counted can't be
// given back.
func (a *Addresses) Limit(most int) (ok bool) {
	if ok = most < 0 == (a.Most() < 0); ok {
		a.most.Store(int64(most))
	}
	return ok
}

func (a *Addresses) shard(network netip.Addr) *shard {
	return &a.shards[maphash.Comparable(a.seed, network)%uint64(len(a.shards))]
}

// Acquire takes a place for the address, false when it has all of its own.
func (a *Addresses) Acquire(addr netip.Addr) bool {
	if a.Most() < 0 {
		return true
	}
	addr = Network(addr)
	s := a.shard(addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	if int(s.count[addr]) >= a.Most() {
		return false
	}
	s.count[addr]++
	return true
}

// Release gives it back.
func (a *Addresses) Release(addr netip.Addr) {
	if a.Most() < 0 {
		return
	}
	addr = Network(addr)
	s := a.shard(addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count[addr]--; s.count[addr] <= 0 {
		delete(s.count, addr)
	}
}

// Len is how many networks there are connections from.
func (a *Addresses) Len() (n int) {
	for i := range a.shards {
		s := &a.shards[i]
		s.mu.Lock()
		n += len(s.count)
		s.mu.Unlock()
	}
	return n
}
