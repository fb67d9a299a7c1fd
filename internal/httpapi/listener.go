package httpapi

import (
	"net"
	"sync"
)

// LimitListener returns a listener that has at most n connections open at one time
// (n < 1 is 1). Further ones wait in the kernel's accept queue, where they cost no
// descriptor: those are what WebSockets need. It owns l; its methods may be called
// from any goroutine.
func LimitListener(l net.Listener, n int) net.Listener {
	return &limitedListener{
		Listener: l,
		slots:    make(chan struct{}, max(n, 1)),
		closed:   make(chan struct{}),
	}
}

type limitedListener struct {
	net.Listener
	slots  chan struct{} // one element per open connection or Accept under way
	closed chan struct{} // wakes an Accept that waits for a slot
	once   sync.Once
}

// Accept waits for a slot and then for a connection.
func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitedConn{Conn: conn, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

// Close closes the listener; connections stay open.
func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// limitedConn gives its slot back once, however often it is closed.
type limitedConn struct {
	net.Conn
	release func()
}

// CloseWrite is what net/http asks of a connection that it ends while a request may still
// be coming in.
func (c *limitedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.release()
	return err
}
