package eventloop

import (
	"net"
	"sync"
	"testing"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"
)

// places are how many connections each loop has.
func places(e *Engine) (n []int) {
	for _, l := range e.loops {
		n = append(n, int(l.connections.Load()))
	}
	return n
}

// expectSpread: no loop has more than its share, and all that is counted is there.
func expectSpread(t *testing.T, e *Engine, clients int) {
	t.Helper()
	sum, fullest := 0, 0
	for _, n := range places(e) {
		sum += n
		fullest = max(fullest, n)
	}
	mean := clients / e.Loops()
	if most := mean + spreadSlack + mean/spreadShare; sum != clients || fullest > most {
		t.Errorf("%d clients are %v: %d in all, at most %d want to be on a loop", clients, places(e), sum, most)
	}
}

// joinMany opens clients from the sources in turn, a few at a time: fewer than may
// change loops at once, so that none stays where it isn't wanted.
func joinMany(t *testing.T, e *Engine, clients int, sources []net.IP) []*peer {
	t.Helper()
	peers := make([]*peer, clients)
	const atOnce = 4
	var wg sync.WaitGroup
	for worker := range atOnce {
		wg.Go(func() {
			for i := worker; i < clients; i += atOnce {
				if p, ok := admitted(t, e, sources[i%len(sources)]); ok {
					peers[i] = p
				} else {
					t.Errorf("client %d isn't let in", i)
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return peers
}

func sourcesV4(n int) (ips []net.IP) {
	for i := range n {
		ips = append(ips, net.IPv4(127, 0, 2, byte(i+1)))
	}
	return ips
}

// However many addresses they come from, and over IPv6 as well, clients are spread
// evenly, keep what they sent before they were anybody's, and all get what is published.
func TestClientsAreSpreadOverLoops(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		listen  string
		sources []net.IP
	}{
		"one address":             {"127.0.0.1:0", sourcesV4(1)},
		"16 addresses":            {"127.0.0.1:0", sourcesV4(16)},
		"an address for each":     {"127.0.0.1:0", sourcesV4(200)},
		"IPv4 on an IPv6 socket":  {":0", sourcesV4(1)},
		"IPv6, one address":       {"[::1]:0", []net.IP{net.IPv6loopback}},
		"IPv6 on an open address": {"[::]:0", []net.IP{net.IPv6loopback}},
	} {
		t.Run(name, func(t *testing.T) {
			e := start(t, &host{}, func(o *Options) { o.Listen, o.Loops = c.listen, 8 })
			peers := joinMany(t, e, 200, c.sources)
			expectSpread(t, e, len(peers))
			expectAsAccepted(t, e, c.sources)
			e.Publish(text("to all"), nil)
			for _, p := range peers {
				p.Expect(ws.OpText, "to all")
			}
		})
	}
}

// expectAsAccepted: a client that has changed loops is known by its own address, and its
// socket is like any other.
func expectAsAccepted(t *testing.T, e *Engine, sources []net.IP) {
	t.Helper()
	known := make(map[string]bool)
	for _, ip := range sources {
		known[ip.String()] = true
	}
	everyLoop(t, e, func(l *Loop) {
		for c := range l.Clients() {
			if !known[c.Addr().String()] {
				t.Errorf("a client's address is %v", c.Addr())
			}
			if on, err := unix.GetsockoptInt(int(c.fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE); err != nil || on != 0 {
				t.Errorf("SO_KEEPALIVE is %d, %v", on, err)
			}
		}
	})
}

// When one loop's clients have all left, newcomers take their places.
func TestSpreadAfterALoopIsEmpty(t *testing.T) {
	t.Parallel()
	e := start(t, &host{}, func(o *Options) { o.Loops = 4 })
	sources := sourcesV4(1)
	const clients = 160
	joinMany(t, e, clients, sources)
	for i := range e.loops {
		everyLoop(t, e, func(l *Loop) {
			if l.index == i {
				for c := range l.Clients() {
					l.drop(c, CauseServerClosed)
				}
			}
		})
		if n := places(e)[i]; n != 0 {
			t.Fatalf("loop %d has %d connections left", i, n)
		}
		joinMany(t, e, clients-e.Connections(), sources)
		expectSpread(t, e, clients)
	}
}

// A loop is crowded when it is ahead of the mean by more than the slack, and the emptiest
// is one that gnet has made itself known for.
func TestShareOfALoop(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n       [4]int64
		crowded bool // loop 0
	}{
		{[4]int64{5, 0, 0, 0}, false},
		{[4]int64{6, 0, 0, 0}, true},
		{[4]int64{14, 10, 10, 10}, false},
		{[4]int64{15, 9, 9, 9}, true},
		{[4]int64{1035, 989, 989, 989}, false},
		{[4]int64{1036, 988, 988, 988}, true},
	} {
		fake := &Engine{}
		for i, n := range c.n {
			l := &Loop{engine: fake, index: i}
			l.connections.Store(n)
			fake.connections.Add(n)
			fake.loops = append(fake.loops, l)
		}
		if got := fake.loops[0].crowded(); got != c.crowded {
			t.Errorf("of %v the first is crowded: %v", c.n, got)
		}
		if fake.emptiest() != nil {
			t.Error("a loop that gnet doesn't know can't be given any")
		}
	}
}

// Few descriptors are not spent on changing loops.
func TestMovesAtOnce(t *testing.T) {
	for _, c := range []struct{ loops, descriptors, want int }{
		{1, 1 << 20, 0}, {2, 50, 1}, {2, 120, 1}, {2, 1024, 16}, {8, 20_000, 64}, {128, 1 << 20, 64},
	} {
		if got := movesAtOnce(c.loops, c.descriptors); got != c.want {
			t.Errorf("%d loops, %d descriptors: %d at once, want %d", c.loops, c.descriptors, got, c.want)
		}
	}
}
