package eventloop

import "github.com/busbar-ws/busbar/eventloop/internal/poll"

// silentShare is the part of Timeouts.Handshake after which a connection that hasn't sent its
// request yet makes room for others, when there are as many handshakes as there may be.
// Whoever waits in the kernel's queue has sent its request meanwhile, and most need one
// round trip. With the defaults, 2,048 and 10 s, 10,000 silent connections are gone from
// one loop in five rounds of 1.25 s.
const silentShare = 8

// handshakes are a loop's connections that haven't been upgraded or refused yet. Those
// whose request isn't complete are in a list, the oldest first, linked through the fields
// that hold a client's groups later. Owned by the loop.
type handshakes struct {
	count       int // those that are being authorised included
	first, last uint32
}

// startHandshake is called for a client that has its slot.
func (l *Loop) startHandshake(c *Client) {
	h := &l.accepting.handshakes
	h.count++
	c.prev[0], c.next[0] = h.last, 0
	if h.last != 0 {
		l.clients.slots[h.last].next[0] = c.slot
	} else {
		h.first = c.slot
	}
	h.last = c.slot
	l.counters.Handshakes.Store(int64(h.count))
	if h.count >= l.opts.Accept.MaxHandshakes {
		l.poller.AcceptPause().Pause(poll.PauseHandshakes)
		l.dueBy(l.now + 1)
	}
}

// requested takes a client whose request is complete out of the list.
func (l *Loop) requested(c *Client) {
	h := &l.accepting.handshakes
	if c.prev[0] != 0 {
		l.clients.slots[c.prev[0]].next[0] = c.next[0]
	} else {
		h.first = c.next[0]
	}
	if c.next[0] != 0 {
		l.clients.slots[c.next[0]].prev[0] = c.prev[0]
	} else {
		h.last = c.prev[0]
	}
	c.prev[0], c.next[0] = 0, 0
}

// endHandshake is called for a client that has been upgraded or refused, or goes.
func (l *Loop) endHandshake() {
	h := &l.accepting.handshakes
	h.count--
	l.counters.Handshakes.Store(int64(h.count))
	if h.count == l.opts.Accept.MaxHandshakes-1 {
		l.poller.AcceptPause().Resume(poll.PauseHandshakes)
	}
}

// abortSilent makes room when there are as many handshakes as there may be.
func (l *Loop) abortSilent() {
	if l.accepting.handshakes.count < l.opts.Accept.MaxHandshakes {
		return
	}
	for slot := l.accepting.handshakes.first; slot != 0; slot = l.accepting.handshakes.first {
		c := l.clients.slots[slot]
		if l.now-c.since <= ticks(l.opts.Timeouts.Handshake)/silentShare {
			return
		}
		l.abort(c, CauseHandshakeTimeout)
	}
}
