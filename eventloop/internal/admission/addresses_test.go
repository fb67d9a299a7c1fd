package admission

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
)

func TestAddressCap(t *testing.T) {
	addrs := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("2001:db8::1")}
	for _, most := range []int{1, 3, -1} {
		a := NewAddresses(most)
		random := rand.New(rand.NewPCG(8, 9))
		held := make(map[netip.Addr]int)
		for range 2000 {
			addr := addrs[random.IntN(len(addrs))]
			if held[addr] > 0 && random.IntN(2) == 0 {
				a.Release(addr)
				held[addr]--
				continue
			}
			want := most < 0 || held[addr] < most
			if got := a.Acquire(addr); got != want {
				t.Fatalf("cap %d: with %d held, acquire is %v", most, held[addr], got)
			}
			if want {
				held[addr]++
			}
		}
		for addr, n := range held {
			for range n {
				a.Release(addr)
			}
		}
		if n := a.Len(); n > 0 {
			t.Errorf("cap %d: %d addresses are kept though nobody is left", most, n)
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
		if same := Network(one) == Network(other); same != test.same {
			t.Errorf("%s and %s are of one network: %v", test.a, test.b, same)
		}
		a := NewAddresses(1)
		if !a.Acquire(one) || a.Acquire(other) == test.same {
			t.Errorf("a place for %s takes that of %s: want %v", test.a, test.b, test.same)
		}
		a.Release(other) // of the same network it is the same place
		if test.same != a.Acquire(one) {
			t.Errorf("%s gives back the place of %s: want %v", test.b, test.a, test.same)
		}
	}
}

// Loops meet here: never more than the cap, and every place comes back.
func TestAddressCapFromManyLoops(t *testing.T) {
	const most = 5
	a := NewAddresses(most)
	addr := netip.MustParseAddr("192.0.2.7")
	var wg sync.WaitGroup
	var mu sync.Mutex
	inside, worst, entered := 0, 0, 0
	for range 16 {
		wg.Go(func() {
			for range 500 {
				if !a.Acquire(addr) {
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
				a.Release(addr)
			}
		})
	}
	wg.Wait()
	if worst > most || entered == 0 {
		t.Errorf("%d at once, cap %d; %d entered", worst, most, entered)
	}
	for range most {
		if !a.Acquire(addr) {
			t.Fatal("a place was lost")
		}
	}
	if a.Acquire(addr) {
		t.Error("there is one place too many")
	}
}
