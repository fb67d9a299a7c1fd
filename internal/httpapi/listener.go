package httpapi

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// Listener has at most so many connections open at one time. When one more comes, the one
// goes that has waited longest without a request being served on it: idle, silent or slow
// with its header. So whoever holds on to connections holds none up, as long as fewer
// requests are served at a time than there may be connections (Options.MaxRequests). While
// requests are served on all of them, the next one waits.
//
// Its methods may be called from any goroutine.
type Listener struct {
	net.Listener
	most int

	mu      sync.Mutex
	open    map[*limitedConn]struct{}
	evicted uint64

	freed  chan struct{} // has an element when it is worth looking for a place again
	closed chan struct{}
	once   sync.Once
}

// evictAfter is how long a connection may wait at least. Its request is there within that time
// if it was sent right behind the connect, as a probe's is; and an answer has been flushed.
const evictAfter = 10 * time.Millisecond

// LimitListener returns a listener that has at most n connections open at one time (n < 1
// is 1), and for a moment the one that makes another go. It owns l.
func LimitListener(l net.Listener, n int) *Listener {
	return &Listener{
		Listener: l, most: max(n, 1),
		open:  make(map[*limitedConn]struct{}),
		freed: make(chan struct{}, 1), closed: make(chan struct{}),
	}
}

// Accept waits for a connection and then for a place for it. Only a closed listener's errors are
// final: after any other net/http waits a little and accepts again.
func (l *Listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, l.passing(err)
	}
	c := &limitedConn{Conn: conn, listener: l}
	for {
		again, placed := l.place(c, time.Now())
		if placed {
			return c, nil
		}
		timer := time.NewTimer(again)
		select {
		case <-l.freed:
			timer.Stop()
		case <-timer.C:
		case <-l.closed:
			timer.Stop()
			conn.Close()
			return nil, net.ErrClosed
		}
	}
}

// passingError tells net/http to go on. To package net only a few errors of accept(2) are
// temporary; ENOMEM, ENOBUFS, EPROTO or a firewall's EPERM would end the API, and the daemon.
type passingError struct{ error }

// Temporary is what net/http asks.
func (passingError) Temporary() bool { return true }

// Timeout is there for net.Error.
func (passingError) Timeout() bool { return false }

func (e passingError) Unwrap() error { return e.error }

func (l *Listener) passing(err error) error {
	select {
	case <-l.closed:
		return err
	default:
	}
	if errors.Is(err, net.ErrClosed) {
		return err
	}
	return passingError{err}
}

// place takes c in if there is room or somebody can go; if not, it says when to try again.
func (l *Listener) place(c *limitedConn, now time.Time) (again time.Duration, placed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= l.most {
		victim := l.longestWaiting()
		if victim == nil {
			return time.Minute, false // freed comes first
		}
		if age := now.Sub(victim.since); age < evictAfter {
			return evictAfter - age, false
		}
		l.evicted++
		delete(l.open, victim)
		_ = victim.Conn.Close()
	}
	c.since = now
	l.open[c] = struct{}{}
	return 0, true
}

func (l *Listener) longestWaiting() (found *limitedConn) {
	for c := range l.open {
		if c.serving == 0 && (found == nil || c.since.Before(found.since)) {
			found = c
		}
	}
	return found
}

// Evicted is how many connections had to go so that others could come.
func (l *Listener) Evicted() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.evicted
}

// Close closes the listener; connections stay open.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

func (l *Listener) signal() {
	select {
	case l.freed <- struct{}{}:
	default:
	}
}

// limitedConn gives its place back once, however often it is closed.
type limitedConn struct {
	net.Conn
	listener *Listener
	serving  int       // requests; guarded by the listener's mu
	since    time.Time // when it began to wait; guarded by the listener's mu
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
	c.listener.mu.Lock()
	delete(c.listener.open, c)
	c.listener.mu.Unlock()
	c.listener.signal()
	return err
}

func (c *limitedConn) serve(delta int) {
	c.listener.mu.Lock()
	c.serving += delta
	c.since = time.Now()
	c.listener.mu.Unlock()
	if delta < 0 {
		c.listener.signal()
	}
}

type connKey struct{}

// withConn lets the handler find its connection.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// holding keeps a connection while a request on it is served. What net/http does after the
// handler, such as waiting for the rest of a body that nobody wanted, doesn't count.
func holding(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(*limitedConn); ok {
			c.serve(1)
			defer c.serve(-1)
		}
		h.ServeHTTP(w, r)
	})
}
