package eventloop

import (
	"math"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop/internal/poll"
	"github.com/busbar-ws/busbar/wsproto"
)

// closeWait is how long a peer has to answer our Close or refusal by ending the connection, from when it
// last took some of what it is owed ahead of that; closeMost is how long it has for all of it.
const (
	closeWait = 3 * time.Second
	closeMost = time.Minute
)

// roundAtOnce is how many clients a loop looks at in one tick, once in a round. More are looked at in ten
// parts, so that nobody waits for all of them.
const roundAtOnce = 256

// dueBy makes sure that there is a tick by then. A loop that has nothing to look at has none.
func (l *Loop) dueBy(when uint32) {
	if l.ticker.at != 0 && l.ticker.at <= when {
		return
	}
	l.ticker.at = when
	l.ticker.timer.Reset(time.Until(l.engine.started.Add(time.Duration(when) * tick)))
}

// tickNow is called by the timer.
func (l *Loop) tickNow() {
	switch {
	case l.engine.poller.Stopping(): // to stop
	case l.ticker.posted.CompareAndSwap(false, true):
		l.ticker.due.Store(true)
		l.poller.Wake()
	default: // one waits still
		l.ticker.timer.Reset(tick)
	}
}

// onTick is the loop's slow wheel: lagging clients are looked at every tick, and every client once in a
// round, by lookAround. If it isn't done with those of the tick before, the round takes longer.
func (l *Loop) onTick() {
	l.ticker.posted.Store(false)
	l.readClock()
	l.advanceLagClock()
	l.ticker.at = 0
	defer l.nextTick()                                       // after a panic too
	l.meters.Sweep(time.Since(l.engine.started), roundTicks) // all within seconds
	l.abortSilent()
	if l.lookingAround() {
		return
	}
	l.behind.unchecked = len(l.behind.laggards)
	l.behind.checked = furthestSoFar{}
	l.ticker.next, l.ticker.end = 0, len(l.clients.slots)
	if l.clients.count <= roundAtOnce {
		l.ticker.phase = 0
		return
	}
	n := l.ticker.end
	l.ticker.next, l.ticker.end = n*l.ticker.phase/roundTicks, n*(l.ticker.phase+1)/roundTicks
	l.ticker.phase = (l.ticker.phase + 1) % roundTicks
}

func (l *Loop) lookingAround() bool { return l.behind.unchecked > 0 || l.ticker.next < l.ticker.end }

// lookAround looks at the clients that a tick is for, as many as fit into the slice. One at whom that panics
// isn't in the way of those behind it, now or in the next round.
func (l *Loop) lookAround() {
	l.ticker.lifetime.Advance(time.Now())
	seconds := l.ticker.lifetime.Seconds()
	var c *Client
	look := func(int) (more bool) {
		if c = nil; l.behind.unchecked > 0 {
			if l.behind.unchecked--; l.behind.unchecked < len(l.behind.laggards) {
				c = l.behind.laggards[l.behind.unchecked]
				l.behind.checked.note(c)
				l.checkLaggard(c)
			}
			if l.behind.unchecked == 0 {
				l.counters.furthest.store(&l.behind.checked)
			}
		} else if l.ticker.next++; l.at(l.ticker.next-1) != nil {
			c = l.at(l.ticker.next - 1)
			l.visit(c, seconds)
		}
		l.fanout.spend(1)
		return l.lookingAround() && !l.fanout.over
	}
	for l.lookingAround() && !l.fanout.over {
		l.each(0, math.MaxInt, look, func(int) *Client { return c })
	}
}

// nextTick makes sure of the tick that what there is to look at needs.
func (l *Loop) nextTick() {
	switch {
	case l.clients.count > roundAtOnce || len(l.behind.laggards) > 0 || l.meters.Len() > 0 ||
		l.handshakesFull():
		l.dueBy(l.now + 1)
	case l.clients.count > 0: // the loops' rounds begin together, so that the process sleeps in between
		l.dueBy((l.now/roundTicks + 1) * roundTicks)
	}
}

func (l *Loop) visit(c *Client, seconds uint32) {
	age := l.now - c.since
	switch c.state {
	case handshaking, authorising:
		if age > ticks(l.opts.Timeouts.Handshake) || c.is(flagOverflow) && age > ticks(overflowTime) {
			l.handshakeTimeout(c)
		}
	case closing:
		left := poll.Unacknowledged(c.fd)
		if left < c.heard || c.is(flagDirty) { // what is owed may not have been sent yet, if the loop is late
			c.since = l.now
		}
		c.heard = left
		if l.now-c.since > ticks(closeWait) || c.deadline <= seconds {
			l.abort(c, c.cause)
		}
	case open:
		if c.deadline != 0 && c.deadline <= seconds {
			c.deadline = 0
			l.engine.handler.Expired(c)
			return
		}
		l.checkAlive(c)
	}
}

// handshakeTimeout ends a connection that hasn't been upgraded in time. One that has begun
// a request is told so: RFC 9110 15.5.9.
func (l *Loop) handshakeTimeout(c *Client) {
	if c.state == handshaking && c.pos > 0 {
		p := c.conn.Peek()
		l.refuse(c, wsproto.RefuseTimeout.AnswerTo(p), CauseHandshakeTimeout)
		return
	}
	l.abort(c, CauseHandshakeTimeout)
}

// checkAlive pings a quiet client and ends one that stays quiet. A ping can't reach a client ahead
// of what its peer hasn't acknowledged yet. How long that may take is LagTime's business while the
// client lags, and else, or with drop-oldest, TCP_USER_TIMEOUT's.
func (l *Loop) checkAlive(c *Client) {
	quiet := l.now - c.heard
	if quiet < ticks(l.opts.Timeouts.PingInterval) || c.queue != nil {
		return
	}
	if !c.is(flagPinged) {
		if poll.Unacknowledged(c.fd) > 0 {
			return
		}
		c.set(flagPinged)
		c.heard = l.now - ticks(l.opts.Timeouts.PingInterval) // it has Timeouts.Pong from now on, however late the ping is
		l.scratch = wsproto.AppendFrame(l.scratch[:0], ws.OpPing, nil)
		l.write(c, l.scratch)
		return
	}
	// A loop that is behind with very many clients must not take its own delay for their silence.
	if quiet >= ticks(l.opts.Timeouts.PingInterval+l.opts.Timeouts.Pong) && !poll.Unread(c.fd) {
		l.abort(c, CauseDead)
	}
}

// ExpireAt says when Handler.Expired is to be called for the client. Zero: never.
func (c *Client) ExpireAt(t time.Time) {
	if c.deadline = 0; t.IsZero() {
		return
	}
	now := time.Now()
	c.loop.ticker.lifetime.Advance(now)
	c.deadline = c.loop.ticker.lifetime.Deadline(t.Sub(now.Round(0)))
}
