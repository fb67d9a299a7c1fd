package eventloop

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/gobwas/ws"
)

// joinMany opens clients from the sources in turn, a few at a time.
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

// However many addresses they come from, and over IPv6 as well, clients of many loops are
// known by their own address, and all get what is published.
func TestClientsFromManyAddresses(t *testing.T) {
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
			expectAddresses(t, e, c.sources)
			e.Publish(text("to all"), nil)
			for _, p := range peers {
				p.Expect(ws.OpText, "to all")
			}
		})
	}
}

// expectAddresses: each client is known by its own address.
func expectAddresses(t *testing.T, e *Engine, sources []net.IP) {
	t.Helper()
	known := make(map[string]bool)
	for _, ip := range sources {
		known[ip.String()] = true
	}
	everyLoop(t, e, func(l *Loop) {
		for c := range l.openClients() {
			if !known[c.Addr().String()] {
				t.Errorf("a client's address is %v", c.Addr())
			}
		}
	})
}

// Connections that end while they are accepted leave nothing behind.
func TestPeersThatGoAtOnce(t *testing.T) {
	t.Parallel()
	e := start(t, &host{}, func(o *Options) { o.Loops = 4 })
	stay := joinMany(t, e, 40, sourcesV4(1))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 60 {
				p, err := tryConnect(t, e, net.IPv4(127, 0, 2, 1))
				if err != nil {
					t.Error(err)
					return
				}
				if i%2 == 0 {
					_ = p.Conn.(*net.TCPConn).SetLinger(0) // the end is a reset
				}
				p.Close()
			}
		})
	}
	wg.Wait()
	eventually(t, "all who left are forgotten", func() bool {
		return e.Connections() == len(stay)
	})
	e.Publish(text("still here"), nil)
	for _, p := range stay {
		p.Expect(ws.OpText, "still here")
	}
}

// At capacity exactly so many are in, whatever loops they came by.
func TestCapacityWithManyLoops(t *testing.T) {
	t.Parallel()
	const most = 60
	e := start(t, &host{}, func(o *Options) { o.Loops, o.Accept.MaxConnections = 8, most })
	in := joinMany(t, e, most, sourcesV4(1))
	knock(t, e)
	eventually(t, "all others are refused", func() bool {
		return closedBy(e, CauseCapacity) == 100 && e.Connections() == most
	})
	e.Publish(text("full"), nil)
	for _, p := range in {
		p.Expect(ws.OpText, "full")
	}
}

// Stopping, and draining before it, with connections coming in leaves none behind;
// TestMain looks for what they would leave.
func TestStopWhileClientsConnect(t *testing.T) {
	t.Parallel()
	for _, drain := range []bool{false, true} {
		t.Run(fmt.Sprint("drain ", drain), func(t *testing.T) {
			e := start(t, &host{}, func(o *Options) { o.Loops = 8 })
			joined := make(chan struct{}, 1000)
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					for connectUntilRefused(e) {
						joined <- struct{}{}
					}
				})
			}
			for range 150 {
				<-joined
			}
			if drain {
				go func() {
					for range joined {
						continue
					}
				}()
				must(t, e.Drain(t.Context(), ws.StatusGoingAway, ""))
			}
			e.Stop()
			wg.Wait()
			close(joined)
			if e.Connections() != 0 || e.Err() != nil {
				t.Errorf("stopped with %d connections and %v", e.Connections(), e.Err())
			}
		})
	}
}

// connectUntilRefused opens a client that leaves when it is sent anything; false when it isn't
// let in.
func connectUntilRefused(e *Engine) bool {
	conn, err := net.DialTimeout("tcp", e.Addr().String(), patience)
	if err != nil {
		return false
	}
	r := bufio.NewReader(conn)
	if _, err = io.WriteString(conn, request("")); err == nil {
		_, err = http.ReadResponse(r, nil)
	}
	if err != nil {
		conn.Close()
		return false
	}
	go func() {
		_, _ = r.ReadByte()
		conn.Close()
	}()
	return true
}
