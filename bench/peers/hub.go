package main

import (
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// hub is a target that is built on Go's network poller or on a library's own.
type hub interface {
	// serve lets clients in through ln until it fails.
	serve(ln net.Listener) error
	// broadcast sends payload to every client as one binary message. It is called from one
	// goroutine; the hub owns payload from then on.
	broadcast(payload []byte)
	// stats is safe from any goroutine.
	stats() stats
}

// roster is what every hub has: its connected clients, and what it counts. Safe from any goroutine.
//
// A broadcast walks a snapshot, so that no lock is held while it writes: libraries call
// back when a connection closes, which may be inside of a write.
type roster[C comparable] struct {
	sends, deliveries atomic.Int64

	mu  sync.Mutex
	set map[C]struct{}
	// snapshot holds what set does and is never changed, only replaced; nil when set
	// changed since it was made.
	snapshot []C
}

func (r *roster[C]) add(c C) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.set == nil {
		r.set = make(map[C]struct{})
	}
	r.set[c] = struct{}{}
	r.snapshot = nil
}

// remove says whether c was there.
func (r *roster[C]) remove(c C) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.set)
	delete(r.set, c)
	r.snapshot = nil
	return len(r.set) < n
}

// all is every client, for reading only.
func (r *roster[C]) all() []C {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.snapshot == nil {
		r.snapshot = make([]C, 0, len(r.set))
		for c := range r.set {
			r.snapshot = append(r.snapshot, c)
		}
	}
	return r.snapshot
}

func (r *roster[C]) stats() stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return stats{Clients: int64(len(r.set)), Sends: r.sends.Load(), Deliveries: r.deliveries.Load()}
}

// serveHTTP has net/http hand every request that comes through ln to upgrade, and counts sends.
func (r *roster[C]) serveHTTP(ln net.Listener, upgrade http.HandlerFunc) error {
	return http.Serve(countingListener{ln, &r.sends}, upgrade)
}

func anyOrigin(*http.Request) bool { return true }

// countingListener counts the writes of the connections that it accepts. It costs 24 bytes
// per connection and an atomic addition per write; no library here writes by writev to a
// connection that it could tell from a *net.TCPConn while it broadcasts.
type countingListener struct {
	net.Listener
	sends *atomic.Int64
}

// Accept is net.Listener's.
func (l countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &countingConn{Conn: conn, sends: l.sends}, nil
}

// countingConn is as safe to use as the connection in it. A write that the runtime splits
// because the socket is full counts as one.
type countingConn struct {
	net.Conn
	sends *atomic.Int64
}

// Write is net.Conn's.
func (c *countingConn) Write(b []byte) (int, error) {
	c.sends.Add(1)
	return c.Conn.Write(b)
}
