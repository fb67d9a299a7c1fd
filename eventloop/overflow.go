package eventloop

import (
	"math/rand/v2"
	"time"

	"github.com/busbar-ws/busbar/wsproto"
)

// The overflow is for connections beyond capacity, and for all that come while the engine
// drains: they may send their request, and are told by 503 that and when they may come
// back. Who finds the overflow full is closed without a word, and so is who doesn't send its
// request in time: sixteen silent ones from everywhere must not keep everybody else from
// being told.
const overflowTime = 2 * time.Second

// overflowSize is how many connections may be in the overflow, of so many descriptors for clients
// that may have so many connections. It never takes more than a 16th of the descriptors.
func overflowSize(connections, descriptors int) int {
	return min(max(connections/64, 16), 1024, descriptors/16)
}

// place counts a newcomer: as a connection, or in the overflow with the cause that it will be
// refused for. ok is false when it can be in neither.
func (e *Engine) place() (refused Cause, ok bool) {
	n := e.admission.connections.Add(1)
	switch {
	case e.lifecycle.draining.Load():
		refused = CauseDraining
	case n > int64(e.admission.capacity.Connections):
		refused = CauseCapacity
	default:
		return CauseUnknown, true
	}
	e.admission.connections.Add(-1)
	e.checkEmpty()
	if e.admission.overflow.Add(1) > int64(e.admission.capacity.Overflow) {
		e.admission.overflow.Add(-1)
		return refused, false
	}
	return refused, true
}

// leave gives the place back of a client that has ended, or was never taken in.
func (e *Engine) leave(c *Client) {
	if c.is(flagOverflow) {
		e.admission.overflow.Add(-1)
		return
	}
	e.admission.connections.Add(-1)
	e.checkEmpty()
}

// refuseOverflow answers a client in the overflow whose request, head, is complete. A full server is a
// healthy one: whoever restarts it for not saying so ends all its connections. One that
// drains isn't to be sent anybody.
func (l *Loop) refuseOverflow(c *Client, refusal *wsproto.Refusal, head []byte) {
	switch {
	case c.cause == CauseDraining:
		l.refuse(c, wsproto.RefuseDraining.AnswerTo(head), CauseDraining)
	case refusal.Healthy():
		c.cause = CauseUnknown
		l.refuse(c, refusal, CauseProbe)
	case refusal != nil:
		l.refuse(c, refusal, CauseBadHandshake)
	default:
		l.refuse(c, wsproto.RefuseOverloaded, CauseCapacity)
	}
	l.counters.overflowAnswers.Add(1)
}

// spreadRetry makes Retry-After up to twice as long, by chance: those who were refused
// together mustn't come back together.
func spreadRetry(r wsproto.Refusal) *wsproto.Refusal {
	r.RetryAfter += rand.IntN(r.RetryAfter + 1)
	return &r
}
