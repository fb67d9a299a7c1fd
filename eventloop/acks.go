package eventloop

import (
	"math"

	"golang.org/x/sys/unix"
)

// Whether a peer takes what it is sent only its acknowledgements tell. The kernel reports room in a
// socket when a third of its buffer is free (net/ipv4/tcp.c, sk_stream_write_space), which of a few
// megabytes can take a slow reader many seconds; and a peer whose window is closed acknowledges
// nothing, because probes of it carry no data.

// unacknowledged is how many bytes of what the client was sent its peer's kernel doesn't have yet,
// the end of our half included (SIOCOUTQ, tcp(7)).
func (c *Client) unacknowledged() uint32 {
	n, err := unix.IoctlGetInt(int(c.fd), unix.SIOCOUTQ)
	if err != nil {
		return 0 // the connection has broken, which a read or write will find
	}
	return uint32(min(n, math.MaxInt32))
}

// looksPerLagTime is how often in LagTime a laggard's acknowledgements are looked at, which costs
// a system call.
const looksPerLagTime = 4

// stuck is whether a laggard's peer has acknowledged nothing for LagTime. It is for each tick.
func (l *Loop) stuck(c *Client) bool {
	o, limit := c.queue, uint32(l.opts.LagTime/tick)
	if l.behind.lagNow-o.looked < max(limit/looksPerLagTime, 1) {
		return false
	}
	o.looked = l.behind.lagNow
	left := c.unacknowledged()
	if left == 0 || left < o.unacked {
		o.progressed = l.behind.lagNow
	}
	o.unacked = left
	return l.behind.lagNow-o.progressed > limit
}

// advanceLagClock has the clock that laggards are judged by go on, to a second behind when the next
// tick is due at most: while the loop is kept from running nobody can be sent anything.
func (l *Loop) advanceLagClock() {
	if until := min(l.now, l.ticker.at+roundTicks); l.ticker.at != 0 && until > l.behind.lagRead {
		l.behind.lagNow += until - l.behind.lagRead
	}
	l.behind.lagRead = l.now
}
