package eventloop

import (
	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop/internal/poll"
	"github.com/busbar-ws/busbar/wsproto"
)

// guard calls f, and lets a panic in it cost client c alone (nobody, when c is nil). It
// is counted each time and logged once for each place it comes from.
func (l *Loop) guard(c *Client, f func()) {
	defer func() {
		if r := recover(); r != nil {
			l.panicked(c, r)
		}
	}()
	f()
}

// each calls f for the indexes from at up to end, or until f returns false, and returns the
// index behind the last. A panic in one call is that index's alone, and costs the client
// whose it is: each returns the next index, and is called again from there. One deferred function for a whole walk costs a fan-out
// nothing.
func (l *Loop) each(at, end int, f func(i int) (more bool), whose func(i int) *Client) (next int) {
	i := at
	defer func() {
		if r := recover(); r != nil {
			l.panicked(whose(i), r)
			next = i + 1
		}
	}()
	for ; i < end; i++ {
		if !f(i) {
			return i + 1
		}
	}
	return end
}

func (l *Loop) panicked(c *Client, r any) {
	l.counters.Panics.Add(1)
	l.engine.panics.Note(l.opts.Log, "in a handler", r)
	if c == nil {
		return
	}
	if c.state == open && c.queue == nil {
		// Nothing but one send: whatever else the loop does may be what panicked.
		_, _ = poll.Send(c.fd, wsproto.AppendClose(nil, ws.StatusInternalServerError, "internal error"))
	}
	l.abort(c, CausePanic)
}
