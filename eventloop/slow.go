package eventloop

import (
	"time"

	"github.com/busbar-ws/busbar/eventloop/internal/delivery"
	"github.com/busbar-ws/busbar/eventloop/internal/poll"
	"github.com/busbar-ws/busbar/wsproto"
)

// wait marks a client as lagging: its socket is full, and until the watcher says that
// there's room again flushes pass it by.
func (l *Loop) wait(c *Client) {
	o := c.queue
	if !o.Waiting {
		o.Waiting = true
		orDefault(&o.Began, max(l.now, 1)) // 0 is never
		l.advanceLagClock()
		o.Unacked, o.Looked, o.Progressed = 0, l.behind.lagNow, l.behind.lagNow
		o.Index = len(l.behind.laggards)
		l.behind.laggards = append(l.behind.laggards, c)
		l.counters.Lagging.Add(1)
		l.dueBy(l.now + 1)
	}
	o.Mark(&l.broadcasts, c.pos)
	if err := l.poller.Arm(c.fd, c.slot, c.is(flagWatched)); err != nil {
		l.abort(c, CauseReset)
		return
	}
	c.set(flagWatched)
}

func (l *Loop) stopWaiting(o *delivery.SendQueue) {
	if !o.Waiting {
		return
	}
	o.Waiting = false
	last := len(l.behind.laggards) - 1
	moved := l.behind.laggards[last]
	l.behind.laggards[o.Index] = moved
	moved.queue.Index = o.Index
	l.behind.laggards[last] = nil
	l.behind.laggards = l.behind.laggards[:last]
	if l.counters.Lagging.Add(-1) == 0 {
		l.counters.furthest.store(&furthestSoFar{})
	}
}

// resume goes on with a lagging client whose socket has room. The slot may have
// another owner by now, who then has no reason to be resumed or is glad of it.
func (l *Loop) resume(slot uint32) {
	if int(slot) >= len(l.clients.slots) {
		return
	}
	c := l.clients.slots[slot]
	if c == nil || c.queue == nil || !c.queue.Waiting {
		return
	}
	c.queue.Ready = true
	l.markDirty(c)
}

// fellOff deals with a client that the broadcast log has left behind, or that has lost frames of
// its own, before it is sent more. It returns true when that ended the connection.
func (l *Loop) fellOff(c *Client) bool {
	l.overtaken(c)
	if c.is(flagLost) && c.state == open && !c.is(flagReplaying) {
		c.unset(flagLost)
		if c.queue.Telling() {
			return false // others are lost where it is about to be told of a loss
		}
		l.notice(c, c.queue.Lost(&l.broadcasts, c.pos), func(f *Frame, _ Gap) { c.queue.Tell(f, c.pos) })
	}
	return c.state == gone
}

// notice has a client told of a loss, or closes it if it can't be.
func (l *Loop) notice(c *Client, lost Gap, tell func(*Frame, Gap)) {
	o := c.queue
	l.guard(c, func() {
		switch f := l.engine.handler.LossNotice(c, lost); {
		case c.queue != o:
		case f == nil:
			l.close(c, wsproto.StatusTryAgainLater, "messages were lost", CauseSlow) // ahead of what comes behind the gap
		default:
			l.account.owed++
			tell(f, lost)
		}
	})
}

// overtaken deals with a client that the broadcast log has left behind.
func (l *Loop) overtaken(c *Client) {
	if c.state == open && !c.is(flagReplaying) && c.pos < l.broadcasts.First() {
		if l.opts.Slow.Policy == Disconnect {
			l.close(c, wsproto.StatusTryAgainLater, "too slow", CauseSlow)
			return
		}
		l.leaveBehind(c)
	}
	if c.state == closing && c.pos < l.broadcasts.First() && !c.queue.Stops(c.pos) {
		l.abort(c, CauseSlow) // what it was owed before its Close isn't there any more
	}
}

// leaveBehind has an open client go on where the broadcast log begins.
func (l *Loop) leaveBehind(c *Client) {
	first, dropped := l.broadcasts.First(), 0
	var lost Gap
	event, others := l.broadcasts.Gone(c.pos)
	switch {
	case event > 0 && l.opts.Slow.Policy == CatchUp:
		l.catchUp(c, 0)
		return
	case event == 0 && !others:
		dropped, c.pos = int(first-c.pos), first
	default:
		l.accountFor(c, LossSlow, func() {
			c.pos, dropped = c.queue.Lose(&l.broadcasts, c.pos, first, Gap{To: event})
		})
		c.set(flagLost)
		lost = c.queue.LostEvents()
	}
	l.lost(c, dropped, lost)
}

// catchUp has a client that is behind replay: it is owed the rest of what is in progress, and what it has asked for, and then
// the events from the first that isn't out from the change log, or from one that it has lost besides, unless that is 0.
// What isn't an event is kept back for its place among them.
func (l *Loop) catchUp(c *Client, lost uint64) {
	o := c.ensureQueue()
	next := o.Unsent(&l.broadcasts, c.pos)
	if lost > 0 {
		next = min(next, lost)
	}
	l.accountFor(c, LossSlow, func() {
		if o.Untell() {
			c.set(flagLost)
		}
	})
	c.set(flagReplaying | flagDrained)
	l.takeOver(c, o, delivery.AllEvents)
	o.StopAt(0)
	l.markDirty(c)
	l.counters.LagReplays.Add(1)
	l.guard(c, func() { l.engine.handler.Behind(c, next-1) })
}

// room is what there is for another frame in a client's own queue.
type room uint8

const (
	roomFor     room = iota // it is to be queued
	roomTaken               // it has its place already
	roomNowhere             // the client isn't open any more
)

func roomOf(c *Client) room {
	if c.state == open {
		return roomFor
	}
	return roomNowhere
}

// hasRoom is asked before a client's own queue grows, and keeps it from growing over LagBytes.
func (l *Loop) hasRoom(c *Client, f *Frame) room {
	if !c.queue.Waiting && !c.is(flagPinned) {
		if !c.queue.TooMuch(f.Size(), l.opts.Slow.LagBytes) {
			return roomFor
		}
		l.pump(c)
		switch {
		case c.state != open || c.queue == nil:
			return roomOf(c)
		case c.is(flagReplaying):
			l.place(c, f, false)
			return roomTaken
		}
	}
	fits, superseded := c.queue.Fits(f, l.opts.Slow.LagBytes)
	l.account.replace(bySnapshot, superseded)
	if l.counters.LagSuperseded.Add(uint64(superseded)); fits {
		return roomOf(c)
	}
	switch {
	case l.opts.Slow.Policy == Disconnect:
		l.close(c, wsproto.StatusTryAgainLater, "too slow", CauseSlow)
		return roomNowhere
	case l.opts.Slow.Policy == CatchUp && !c.is(flagReplaying) && (f.Seq > 0 || c.queue.HasEvents()):
		if l.catchUp(c, f.Seq); c.state != open {
			return roomNowhere
		}
		l.place(c, f, false)
		return roomTaken
	}
	l.dropOldest(c)
	return roomFor
}

// dropOldest has half of what a client's own queue may hold let go of, so that the queue isn't walked for each message of
// a client that is stuck. Events that a pinned one loses it is given from the log.
func (l *Loop) dropOldest(c *Client) {
	var d delivery.Dropped
	keep := l.opts.Slow.LagBytes / 2
	if c.is(flagPinned) || l.opts.Slow.Policy == CatchUp {
		had := c.queue.Kinds()
		if d = c.queue.DropOldest(keep); d.Event > 0 {
			c.set(flagAgain)
		}
		had.Less(c.queue.Kinds())
		l.account.replace(byChangeLog, had[delivery.KindChange])
		had[delivery.KindChange] = 0
		l.account.lose(LossSlow, had)
	} else {
		l.accountFor(c, LossSlow, func() { c.pos, d = c.queue.LoseOldest(&l.broadcasts, c.pos, keep) })
	}
	if d.Others || c.queue.Untold() {
		c.set(flagLost)
	}
	l.lost(c, d.Frames, c.queue.LostEvents())
}

// checkLaggard ends or shortens one that has fallen too far behind. It is for each tick, from the last to the
// first of them, because the last takes the place of one that goes.
func (l *Loop) checkLaggard(c *Client) {
	if c.state == open && l.opts.Slow.Policy == Disconnect && l.stuck(c) {
		l.close(c, wsproto.StatusTryAgainLater, "too slow", CauseSlow)
		return
	}
	l.overtaken(c)
}

func ticks(d time.Duration) uint32 { return uint32((d + tick - 1) / tick) }

// stuck is whether a laggard's peer has acknowledged nothing for LagTime. It is for each tick.
func (l *Loop) stuck(c *Client) bool {
	now, limit := l.behind.lagNow, uint32(l.opts.Slow.LagTime/tick)
	return c.queue.IsLookDue(now, limit) && c.queue.Look(now, poll.Unacknowledged(c.fd), limit)
}

// advanceLagClock has the clock that laggards are judged by go on, to a second behind when the next
// tick is due at most: while the loop is kept from running nobody can be sent anything.
func (l *Loop) advanceLagClock() {
	if until := min(l.now, l.ticker.at+roundTicks); l.ticker.at != 0 && until > l.behind.lagRead {
		l.behind.lagNow += until - l.behind.lagRead
	}
	l.behind.lagRead = l.now
}

// furthestSoFar is the most that the laggards that a tick has come to are behind by.
type furthestSoFar struct {
	bytes    int64
	messages int
	since    uint32
}

func (f *furthestSoFar) note(c *Client) {
	messages, bytes := c.owed()
	f.bytes, f.messages = max(f.bytes, bytes), max(f.messages, messages)
	if f.since == 0 || c.queue.Began < f.since {
		f.since = c.queue.Began
	}
}

func (f *furthest) store(s *furthestSoFar) {
	f.bytes.Store(s.bytes)
	f.messages.Store(int64(s.messages))
	f.since.Store(s.since)
}
