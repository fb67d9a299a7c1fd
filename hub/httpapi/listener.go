package httpapi

import (
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// Listener has at most so many connections open at one time. When one more comes, the one
// goes that has waited longest without a request having a place: idle, silent, slow with its
// header, or with a token that is being looked up. Those of publishers and other admins go
// last. So whoever holds on to connections holds none up, as long as there are fewer places
// than connections (places). While all of them are held, the next one waits.
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

// sendBuffer bounds, as SO_SNDBUF, what the kernel keeps of an answer that nobody reads, which
// no budget counts. By itself it would keep megabytes; the kernel doubles what it is told.
const sendBuffer = 128 << 10

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
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(sendBuffer)
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
		if c.held == 0 && (found == nil || c.goesBefore(found)) {
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

	stall time.Duration // without progress; set before anything is served
	sent  int64         // bytes; whoever writes, and net/http has one at a time

	// Guarded by the listener's mu.
	held    int       // requests that have a place
	trusted bool      // an admin's request has had one
	since   time.Time // when it began to wait
}

// goesBefore tells which of two that wait has to make room. Strangers mustn't be able to end a
// publisher's connection between two of its calls.
func (c *limitedConn) goesBefore(other *limitedConn) bool {
	if c.trusted != other.trusted {
		return other.trusted
	}
	return c.since.Before(other.since)
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

// hold keeps the connection while a request on it has a place. What net/http does after the
// handler, such as waiting for the rest of a body that nobody wanted, doesn't count.
func (c *limitedConn) hold(admin bool) {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	c.held++
	c.trusted = c.trusted || admin
}

// letGo is the opposite of hold.
func (c *limitedConn) letGo() {
	c.listener.mu.Lock()
	c.held--
	c.since = time.Now()
	c.listener.mu.Unlock()
	c.listener.signal()
}

type connKey struct{}

// connOf is the request's connection; nil when it didn't come through a Listener.
func connOf(r *http.Request) *limitedConn {
	c, _ := r.Context().Value(connKey{}).(*limitedConn)
	return c
}
