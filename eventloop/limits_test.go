package eventloop

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/internal/memory"
)

func TestAddressCap(t *testing.T) {
	addrs := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("2001:db8::1")}
	for _, most := range []int{1, 3, -1} {
		a := newAddressCap(most)
		random := rand.New(rand.NewPCG(8, 9))
		held := make(map[netip.Addr]int)
		for range 2000 {
			addr := addrs[random.IntN(len(addrs))]
			if held[addr] > 0 && random.IntN(2) == 0 {
				a.release(addr)
				held[addr]--
				continue
			}
			want := most < 0 || held[addr] < most
			if got := a.acquire(addr); got != want {
				t.Fatalf("cap %d: with %d held, acquire is %v", most, held[addr], got)
			}
			if want {
				held[addr]++
			}
		}
		for addr, n := range held {
			for range n {
				a.release(addr)
			}
		}
		for i := range a.shards {
			if n := len(a.shards[i].count); n > 0 {
				t.Errorf("cap %d: %d addresses are kept though nobody is left", most, n)
			}
		}
	}
}

func TestLimitsGoByNetwork(t *testing.T) {
	for _, test := range []struct {
		a, b string
		same bool
	}{
		{"10.0.0.1", "10.0.0.1", true}, {"10.0.0.1", "10.0.0.2", false},
		{"2001:db8::1", "2001:db8::ffff:1", true}, {"2001:db8::1", "2001:db8:0:1::1", false},
		{"fe80::1%eth0", "fe80::2%eth1", true}, {"::1", "127.0.0.1", false},
	} {
		one, other := netip.MustParseAddr(test.a), netip.MustParseAddr(test.b)
		if same := network(one) == network(other); same != test.same {
			t.Errorf("%s and %s are of one network: %v", test.a, test.b, same)
		}
		a := newAddressCap(1)
		if !a.acquire(one) || a.acquire(other) == test.same {
			t.Errorf("a place for %s takes that of %s: want %v", test.a, test.b, test.same)
		}
		a.release(other) // of the same network it is the same place
		if test.same != a.acquire(one) {
			t.Errorf("%s gives back the place of %s: want %v", test.b, test.a, test.same)
		}
	}
}

// Loops meet here: never more than the cap, and every place comes back.
func TestAddressCapFromManyLoops(t *testing.T) {
	const most = 5
	a := newAddressCap(most)
	addr := netip.MustParseAddr("192.0.2.7")
	var wg sync.WaitGroup
	var mu sync.Mutex
	inside, worst, entered := 0, 0, 0
	for range 16 {
		wg.Go(func() {
			for range 500 {
				if !a.acquire(addr) {
					continue
				}
				mu.Lock()
				inside++
				entered++
				worst = max(worst, inside)
				mu.Unlock()
				mu.Lock()
				inside--
				mu.Unlock()
				a.release(addr)
			}
		})
	}
	wg.Wait()
	if worst > most || entered == 0 {
		t.Errorf("%d at once, cap %d; %d entered", worst, most, entered)
	}
	for range most {
		if !a.acquire(addr) {
			t.Fatal("a place was lost")
		}
	}
	if a.acquire(addr) {
		t.Error("there is one place too many")
	}
}

func TestCapacityOfDescriptors(t *testing.T) {
	limit, err := DescriptorLimit()
	must(t, err)
	o := Options{Loops: 2, Accept: AcceptOptions{Reserve: 30}}
	c, err := capacityFor(&o)
	must(t, err)
	if c.Descriptors != limit || c.Connections >= limit-o.Accept.Reserve || c.Connections < limit-o.Accept.Reserve-20-limit/64 {
		t.Errorf("of %d descriptors, 30 of them reserved, %d are for clients", limit, c.Connections)
	}
	if c.Overflow < 16 || c.Overflow > 1024 || c.Connections+c.Overflow > limit-o.Accept.Reserve {
		t.Errorf("of %d descriptors %d are for clients and %d for the overflow", limit, c.Connections, c.Overflow)
	}
	o.Accept.MaxConnections = 7
	if c, err = capacityFor(&o); err != nil || c.Connections != 7 || c.LimitedBy != "-max-connections" {
		t.Errorf("at most 7: %+v, %v", c, err)
	}
	o.Accept.Reserve = limit
	if _, err = New(&host{}, o); !errors.Is(err, ErrDescriptors) {
		t.Errorf("everything reserved: %v", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for want, o := range map[string]Options{
		"loops":           {Loops: 1000},
		"max connections": {Accept: AcceptOptions{MaxConnections: -1}},
		"max message in":  {MaxMessageIn: 10},
		"queue":           {Memory: MemoryOptions{QueueMessages: -1}},
		"accept burst":    {Accept: AcceptOptions{Burst: -1}},
		"max handshakes":  {Accept: AcceptOptions{MaxHandshakes: -1}},
		"lag":             {Slow: SlowOptions{LagTime: time.Millisecond}},
		"ping interval":   {Timeouts: Timeouts{PingInterval: time.Millisecond}},
		"lag bytes:":      {Slow: SlowOptions{LagBytes: memory.Defaults().Buffers}}, // what nobody has set isn't named
		"queue bytes:":    {Memory: MemoryOptions{QueueBytes: memory.Defaults().Buffers}},
		"buffer bytes:":   {Memory: MemoryOptions{BufferBytes: 3 << 20, QueueBytes: 2 << 20}},
	} {
		if _, err := New(&host{}, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v", want, err)
		}
	}
}
