package eventloop

import (
	"slices"
	"time"
)

// state is where a connection stands in its life.
type state uint8

const (
	handshaking state = iota // the upgrade request isn't complete
	authorising              // the Handler has been asked who it is
	open                     // in broadcasts, may subscribe, is listened to
	closing                  // our Close or refusal is out, the peer's end is awaited
	gone                     // nothing may be written to its descriptor any more
	states
)

// successors are the states that may follow one. Nothing leads back.
var successors = [states][]state{
	handshaking: {authorising, closing, gone},
	authorising: {open, closing, gone},
	open:        {closing, gone},
	closing:     {gone},
}

// stateNames are those of the states before gone, in metrics.
var stateNames = [gone]string{"handshaking", "authorising", "open", "closing"}

func (s state) leadsTo(to state) bool { return slices.Contains(successors[s], to) }

// setState is the only place where a client's state changes. The first cause that is given
// stays. It is false, and nothing happens, when the state doesn't lead there.
//
// What the client leaves behind is undone first: a panic on the way leaves it in its state, and
// ended comes here again.
func (l *Loop) setState(c *Client, to state, cause Cause) bool {
	from := c.state
	if !from.leadsTo(to) {
		return false
	}
	if c.cause == CauseUnknown {
		c.cause = cause
	}
	var end Closed
	switch from {
	case handshaking, authorising:
		if from == handshaking {
			l.clients.unlink(&l.accepting.silent, c, 0)
		}
		if to != authorising {
			l.upgradeEnds(c)
			l.endHandshake()
		}
	case open:
		l.guard(nil, func() { end = l.closeOf(c, to) })
		l.guard(nil, func() { l.accountEnd(c, to) })
		l.unpin(c)
		l.dropReplayBuffer(c)
		l.leaveSubscriptions(c)
	}
	if from == closing {
		l.guard(nil, func() { l.noteUnsent(c) })
		l.guard(nil, func() { l.accountEnd(c, to) })
	}
	l.changeState(c, to)
	if to != authorising { // Timeouts.Handshake is for both states together
		c.since = l.now
	}
	if to == closing {
		c.heard = 0
		l.ticker.lifetime.Advance(time.Now())
		c.deadline = l.ticker.lifetime.Deadline(closeMost)
	}
	switch {
	case to == open:
		l.countOpen(c, 1)
		l.broadcasts.PassEvent(l.mailbox.passed.Load())
		if l.counters.Clients.Load() == 1 {
			l.history.events.pass(l.now, l.broadcasts.EventBefore(l.broadcasts.End()))
		}
	case from == open:
		l.history.closes.put(end, func(r *Closed) time.Time { return r.At })
		l.left(c)
	case from == authorising && !c.is(flagAnswered):
		l.guard(nil, func() { l.engine.handler.Closed(c, c.cause) })
	}
	return true
}

// countOpen is called when an open client has come (1) or left (-1).
func (l *Loop) countOpen(c *Client, n int64) {
	l.counters.Clients.Add(n)
	if c.is(flagDeflate) {
		l.counters.Deflating.Add(n)
		l.engine.deflation.Readers.Add(n)
	}
}

// left takes a client that was open out of the counts, and then off its labels, in this order:
// isEveryone takes every open client to have one.
func (l *Loop) left(c *Client) {
	l.countOpen(c, -1)
	for kind := range c.groups {
		l.clients.unlabel(c, Label(kind))
	}
	l.guard(nil, func() { l.engine.handler.Closed(c, c.cause) })
}

// markGone is for a client whose end may have panicked before its state was gone.
func (l *Loop) markGone(c *Client) {
	if c.state == open {
		l.countOpen(c, -1)
	}
	if c.state != gone {
		l.changeState(c, gone)
	}
}

func (l *Loop) changeState(c *Client, to state) {
	l.counters.states[c.state].Add(-1)
	l.counters.states[to].Add(1)
	c.state = to
}
