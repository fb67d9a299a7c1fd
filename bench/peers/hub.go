package main

import (
	"fmt"
	"net"
	"sync/atomic"
)

// hub is a target that is built on Go's network poller or on a library's own; raw has a
// loop of its own instead.
type hub interface {
	// serve lets clients in through ln until it fails.
	serve(ln net.Listener) error
	// broadcast sends payload to every client as one binary message. It is called from one
	// goroutine; the hub owns payload from then on.
	broadcast(payload []byte)
	// stats is safe from any goroutine.
	stats() stats
}

// runHub serves clients and the control connection until one of the listeners fails.
func runHub(clients, control net.Listener, h hub) error {
	failed := make(chan error, 2)
	go func() { failed <- serveControl(control, h) }()
	go func() {
		if err := h.serve(clients); err != nil {
			failed <- fmt.Errorf("serving clients: %w", err)
		}
	}()
	return <-failed
}

// counters are what a hub counts. Safe from any goroutine.
type counters struct {
	clients, sends, deliveries atomic.Int64
}

func (c *counters) stats() stats {
	return stats{Clients: c.clients.Load(), Sends: c.sends.Load(), Deliveries: c.deliveries.Load()}
}

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
