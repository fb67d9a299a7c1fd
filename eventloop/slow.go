package eventloop

import (
	"time"

	"github.com/busbar-ws/busbar/wsproto"
)

// wait marks a client as lagging: its socket is full, and until the watcher says that
// there's room again flushes pass it by.
func (l *Loop) wait(c *Client) {
	o := c.queue
	if !o.waiting {
		o.waiting = true
		l.advanceLagClock()
		o.unacked, o.looked, o.progressed = 0, l.behind.lagNow, l.behind.lagNow
		o.lagIndex = len(l.behind.laggards)
		l.behind.laggards = append(l.behind.laggards, c)
		l.counters.Lagging.Add(1)
		l.dueBy(l.now + 1)
	}
	if err := l.poller.Arm(c.fd, c.slot, c.is(flagWatched)); err != nil {
		l.abort(c, CauseReset)
		return
	}
	c.set(flagWatched)
}

func (l *Loop) stopWaiting(o *sendQueue) {
	if !o.waiting {
		return
	}
	o.waiting = false
	last := len(l.behind.laggards) - 1
	moved := l.behind.laggards[last]
	l.behind.laggards[o.lagIndex] = moved
	moved.queue.lagIndex = o.lagIndex
	l.behind.laggards[last] = nil
	l.behind.laggards = l.behind.laggards[:last]
	l.counters.Lagging.Add(-1)
}

// resume goes on with a lagging client whose socket has room. The slot may have
// another owner by now, who then has no reason to be resumed or is glad of it.
func (l *Loop) resume(slot uint32) {
	if int(slot) >= len(l.clients.slots) {
		return
	}
	c := l.clients.slots[slot]
	if c == nil || c.queue == nil || !c.queue.waiting {
		return
	}
	c.queue.ready = true
	l.markDirty(c)
}

// fellOff deals with a client that the broadcast log has left behind, or that has lost frames of
// its own, before it is sent more. It returns true when that ended the connection.
func (l *Loop) fellOff(c *Client) bool {
	l.overtaken(c)
	if o := c.queue; c.is(flagLost) && c.state == open && !c.is(flagReplaying) {
		c.unset(flagLost)
		if o.Tells() {
			return false // more is lost where it is about to be told of a loss
		}
		l.guard(c, func() {
			switch f := l.engine.handler.LossNotice(c); {
			case c.queue != o:
			case f == nil:
				l.closeUnsent(c, CauseSlow, "messages were lost") // ahead of what comes behind the gap
			default:
				o.Tell(f, c.pos)
			}
		})
	}
	return c.state == gone
}

// overtaken deals with a client that the broadcast log has left behind.
func (l *Loop) overtaken(c *Client) {
	if c.state == open && !c.is(flagReplaying) && c.pos < l.broadcasts.First() {
		if l.opts.Slow.Policy == Disconnect {
			l.closeSlow(c)
			return
		}
		l.skipTrimmed(c)
	}
	if c.state == closing && c.pos < l.broadcasts.First() && !c.queue.Stops(c.pos) {
		l.abort(c, CauseSlow) // what it was owed before its Close isn't there any more
	}
}

// closeSlow gives up on an open client: what it is owed is forgotten, but for the rest of the
// message in progress, and a Close that says why goes out behind that if its socket has
// room before closeWait is over.
func (l *Loop) closeSlow(c *Client) { l.closeUnsent(c, CauseSlow, "too slow") }

func (l *Loop) closeUnsent(c *Client, cause Cause, reason string) {
	o := c.ensureQueue()
	l.setState(c, closing, cause)
	o.Replace(FrameOf(wsproto.AppendClose(nil, wsproto.StatusTryAgainLater, reason)))
	if !o.waiting {
		l.markDirty(c)
	}
}

// makeRoom is asked when a client's own queue would grow over LagBytes. False: the
// frame isn't to be queued.
func (l *Loop) makeRoom(c *Client, size int) bool {
	if !c.queue.waiting && !c.is(flagPinned) {
		l.pump(c)
		if c.state == gone || c.queue == nil || !c.queue.TooMuch(size, l.opts.Slow.LagBytes) {
			return c.state == open
		}
	}
	if l.opts.Slow.Policy == Disconnect {
		l.closeSlow(c)
		return false
	}
	// Down to half, so that the queue isn't walked for each message of a client that is stuck.
	l.counters.LagDropped.Add(uint64(c.queue.DropOldest(l.opts.Slow.LagBytes / 2)))
	c.set(flagLost)
	return true
}

// checkLaggard ends or shortens one that has fallen too far behind. It is for each tick, from the last to the
// first of them, because the last takes the place of one that goes.
func (l *Loop) checkLaggard(c *Client) {
	if c.state == open && l.opts.Slow.Policy == Disconnect && l.stuck(c) {
		l.closeSlow(c)
		return
	}
	l.overtaken(c)
}

func ticks(d time.Duration) uint32 { return uint32((d + tick - 1) / tick) }
