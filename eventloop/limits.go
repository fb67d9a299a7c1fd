package eventloop

import (
	"errors"
	"fmt"
	"hash/maphash"
	"net/netip"
	"sync"

	"github.com/busbar-ws/busbar/eventloop/internal/poll"
)

// ErrDescriptors: the descriptor limit leaves no room for clients.
var ErrDescriptors = errors.New("descriptor limit too low")

// Capacity says how many connections there can be.
type Capacity struct {
	Connections int
	Overflow    int    // connections beyond these that are told to come back later
	Descriptors int    // RLIMIT_NOFILE as it is now
	LimitedBy   string // what would have to change for more, in words
}

// Each loop has a listener, an epoll set, an eventfd and its yielder's two sockets, four while
// these are opened, and may have accepted one connection that OnOpen hasn't refused yet.
// The watcher has two, and one is open now and then to see what a loop's epoll set holds or
// whether there are any left.
const (
	descriptorsPerLoop = 8
	descriptorsShared  = 3
)

func capacityFor(o *Options) (Capacity, error) {
	limit, err := DescriptorLimit()
	if err != nil {
		return Capacity{}, err
	}
	return o.Capacity(limit)
}

// Capacity is how many connections there can be with so many descriptors. Loops and Reserve have
// to be set.
func (o *Options) Capacity(limit int) (Capacity, error) {
	own := o.Accept.Reserve + descriptorsPerLoop*o.Loops + descriptorsShared
	room := limit - own
	if room < 1 {
		return Capacity{}, fmt.Errorf("%w: %d descriptors, of which the server needs %d for itself; raise it (ulimit -n)",
			ErrDescriptors, limit, own)
	}
	overflow := overflowSize(room, room)
	if o.Accept.MaxConnections > 0 {
		overflow = overflowSize(min(o.Accept.MaxConnections, room), room)
	}
	room -= overflow
	own += overflow
	c := Capacity{Connections: room, Overflow: overflow, Descriptors: limit,
		LimitedBy: fmt.Sprintf("the descriptor limit of %d (ulimit -n), %d of them reserved", limit, own)}
	if o.Accept.MaxConnections > 0 && o.Accept.MaxConnections < room {
		c.Connections, c.LimitedBy = o.Accept.MaxConnections, "-max-connections"
	}
	return c, nil
}

// DescriptorLimit lifts the soft limit to the hard one and returns it.
func DescriptorLimit() (int, error) { return poll.DescriptorLimit() }

// network is what limits for an address go by: of IPv6 the /64, for whoever has one of its
// addresses has the 2^64 others (RFC 4291 section 2.5.4).
func network(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return a
	}
	p, _ := a.WithZone("").Prefix(64) // can't fail: 64 is not above 128
	return p.Addr()
}

// addressCap counts connections by network. Safe from any goroutine; loops meet here
// once when a connection opens and once when it closes.
type addressCap struct {
	most   int // negative: no cap, nothing is counted
	seed   maphash.Seed
	shards [64]addressShard
}

type addressShard struct {
	mu    sync.Mutex
	count map[netip.Addr]int32
	_     [48]byte // a cache line for each
}

func newAddressCap(most int) *addressCap {
	a := &addressCap{most: most, seed: maphash.MakeSeed()}
	for i := range a.shards {
		a.shards[i].count = make(map[netip.Addr]int32)
	}
	return a
}

func (a *addressCap) shard(addr netip.Addr) *addressShard {
	return &a.shards[maphash.Comparable(a.seed, addr)%uint64(len(a.shards))]
}

// acquire takes a place for the address, false when it has all of its own.
func (a *addressCap) acquire(addr netip.Addr) bool {
	if a.most < 0 {
		return true
	}
	addr = network(addr)
	s := a.shard(addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	if int(s.count[addr]) >= a.most {
		return false
	}
	s.count[addr]++
	return true
}

func (a *addressCap) release(addr netip.Addr) {
	if a.most < 0 {
		return
	}
	addr = network(addr)
	s := a.shard(addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count[addr]--; s.count[addr] <= 0 {
		delete(s.count, addr)
	}
}
