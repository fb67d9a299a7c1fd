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
	"golang.org/x/sys/unix"
)

// Connections that end while they change loops leave nothing behind.
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
		return e.Connections() == len(stay) && len(e.moving) == 0
	})
	sum := 0
	for _, n := range places(e) {
		sum += n
	}
	if sum != len(stay) {
		t.Errorf("%d stay, the loops count %v", len(stay), places(e))
	}
	e.Publish(text("still here"), nil)
	for _, p := range stay {
		p.Expect(ws.OpText, "still here")
	}
}

// At capacity exactly so many are in, whatever loops they came by.
func TestCapacityWithManyLoops(t *testing.T) {
	t.Parallel()
	const most = 60
	e := start(t, &host{}, func(o *Options) { o.Loops, o.MaxConnections = 8, most })
	in := joinMany(t, e, most, sourcesV4(1))
	knock(t, e)
	eventually(t, "all others are refused", func() bool {
		return closedBy(e, CauseCapacity) == 100 && e.Connections() == most
	})
	expectSpread(t, e, most)
	e.Publish(text("full"), nil)
	for _, p := range in {
		p.Expect(ws.OpText, "full")
	}
}

// Stopping, and draining before it, with connections coming in leaves none behind on
// its way between loops; TestMain looks for what they would leave.
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
			for i, n := range places(e) {
				if n != 0 {
					t.Errorf("stopped: loop %d has %d connections", i, n)
				}
			}
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

// What can't be handed over is counted and given up: the peer has gone, and a descriptor
// that isn't a connection.
func TestMoveThatFails(t *testing.T) {
	t.Parallel()
	e := start(t, &host{})
	dial(t, e, "name=x")
	l := e.emptiest()
	before := l.connections.Load()
	fail := func(fd int, err error, cause Cause) {
		t.Helper()
		must(t, err)
		e.moving <- struct{}{}
		e.connections.Add(1)
		l.connections.Add(1)
		e.move(fd, &move{to: l})
		if n := closedBy(e, cause); n != 1 || l.connections.Load() != before || e.Connections() != 1 {
			t.Errorf("%d ended by %v, %d connections, %v by loop", n, cause, e.Connections(), places(e))
		}
	}
	unconnected, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	fail(unconnected, err, CausePeerGone)
	eventfd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	fail(eventfd, err, CauseCapacity)
	if len(e.moving) != 0 {
		t.Errorf("%d places are taken still", len(e.moving))
	}
}
