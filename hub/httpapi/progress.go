package httpapi

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// leastRate is how many bytes a second of a body have to come, and of an answer have to be
// taken, to count as progress. Without it a byte now and then would hold a place for days.
const leastRate = 500

// progress tells somebody slow from somebody who has stopped. It belongs to one goroutine.
type progress struct {
	span  time.Duration // in which leastRate has to be kept, on average
	mark  int64
	until time.Time
}

// deadline is until when the next bytes have to be there, after n in all.
func (p *progress) deadline(n int64, now time.Time) time.Time {
	if p.until.IsZero() || float64(n-p.mark) >= leastRate*p.span.Seconds() {
		p.mark, p.until = n, now.Add(p.span)
	}
	return p.until
}

// Write waits for as long as the peer takes what it was sent, at any pace above leastRate.
// That it takes it only its acknowledgements tell: while there is room in the kernel's buffer
// nobody has to read for a write to succeed, and once there is none it may be a long time before
// enough of it is free for the next (tcp(7), and sk_stream_write_space of the kernel).
func (c *limitedConn) Write(b []byte) (n int, err error) {
	if c.stall <= 0 {
		return c.Conn.Write(b)
	}
	p := progress{span: c.stall}
	for until := p.deadline(c.acknowledged(), time.Now()); ; {
		_ = c.SetWriteDeadline(until)
		some, err := c.Conn.Write(b[n:])
		n += some
		c.sent += int64(some)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		again := p.deadline(c.acknowledged(), time.Now())
		if again.Equal(until) {
			return n, err
		}
		until = again
	}
}

// acknowledged is how much of what was sent the peer's kernel has.
func (c *limitedConn) acknowledged() int64 {
	outstanding := 0
	if socket, ok := c.Conn.(syscall.Conn); ok {
		if raw, err := socket.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { outstanding, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
		}
	}
	return c.sent - int64(outstanding)
}

// steadyBody reads a request's body for as long as it makes progress. It belongs to the
// handler.
type steadyBody struct {
	io.ReadCloser
	conn *limitedConn // nil: without bounds
	read int64
	pace progress
}

// Read is io.Reader's. What comes behind the body isn't under its deadline.
func (b *steadyBody) Read(buf []byte) (n int, err error) {
	if b.conn == nil || b.conn.stall <= 0 {
		return b.ReadCloser.Read(buf)
	}
	b.pace.span = b.conn.stall
	_ = b.conn.SetReadDeadline(b.pace.deadline(b.read, time.Now()))
	n, err = b.ReadCloser.Read(buf)
	b.read += int64(n)
	if err == io.EOF {
		_ = b.conn.SetReadDeadline(time.Time{})
	}
	return n, err
}
