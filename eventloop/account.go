package eventloop

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/busbar-ws/busbar/eventloop/internal/delivery"
)

// Kind is what a frame is, for the counts of what was lost.
type Kind = delivery.Kind

// The kinds of frames that an embedder makes.
const (
	KindOther    = delivery.KindOther
	KindTopic    = delivery.KindTopic
	KindPresence = delivery.KindPresence
	KindRow      = delivery.KindRow
	KindBinary   = delivery.KindBinary
)

// Why a client isn't sent a message that it was owed and loses nothing by that.
const (
	bySnapshot  = iota // a newer snapshot of the row waited for it
	byChangeLog        // it is given the event from the change log, or asks for it by its cursor when it comes back
	replacements
)

var replacementNames = [replacements]string{"snapshot", "change_log"}

// account is what became of the messages that clients were owed. It is owned by its loop, and adds up:
//
//	owed = delivered + lost + replaced + what waits
//
// A message is owed to a client once it is of the audience when the loop comes to the message, or would have come to it
// had the mailbox not let it go; and when it is for this client alone. A Close is once it is out. What is held back for a subscription that is being
// decided about isn't owed before that is decided.
type account struct {
	owed     uint64
	lost     [lossCauses]delivery.ByKind
	replaced [replacements]uint64
	changed  bool // lost or replaced was, since they were shown
}

// accounts is an account as it is shown, to any goroutine.
type accounts struct {
	owed     atomic.Uint64
	lost     [lossCauses][delivery.Kinds]atomic.Uint64
	replaced [replacements]atomic.Uint64
}

func (a *account) show(to *accounts) {
	to.owed.Store(a.owed)
	if !a.changed {
		return
	}
	a.changed = false
	for cause := range a.lost {
		for kind, n := range a.lost[cause] {
			to.lost[cause][kind].Store(uint64(n))
		}
	}
	for by, n := range a.replaced {
		to.replaced[by].Store(n)
	}
}

func (a *account) replace(by, messages int) {
	if messages > 0 {
		a.replaced[by] += uint64(messages)
		a.changed = true
	}
}

func (a *account) lose(cause LossCause, n delivery.ByKind) {
	for kind := range n {
		a.lost[cause][kind] += n[kind]
	}
	a.changed = true
}

func (a *account) loseFrame(cause LossCause, f *Frame) {
	a.lost[cause][delivery.KindOf(f)]++
	a.changed = true
}

// loseBroadcast is for a client that isn't sent what stands in the broadcast log.
func (l *Loop) loseBroadcast(c *Client, cause LossCause, f *Frame) {
	catchesUp := c.state == open && c.cause == CauseUnknown && l.opts.Slow.Policy == CatchUp
	if f.Seq > 0 && (c.is(flagReplaying) || catchesUp && cause == LossSlow) {
		l.account.replace(byChangeLog, 1)
		return
	}
	l.account.loseFrame(cause, f)
}

// loseBroadcasts is loseBroadcast for a stretch of the log. What isn't there any more was accounted for by trimmed.
func (l *Loop) loseBroadcasts(c *Client, cause LossCause, from, to uint64) {
	for pos := max(from, l.broadcasts.First()); pos < to; pos++ {
		l.loseBroadcast(c, cause, l.broadcasts.At(pos))
	}
}

// accountFor has f let go of what is owed to a client that has a queue, by cause.
func (l *Loop) accountFor(c *Client, cause LossCause, f func()) {
	o, had, pos := c.queue, c.queue.Kinds(), c.pos
	f()
	had.Less(o.Kinds())
	l.account.lose(cause, had)
	l.loseBroadcasts(c, cause, pos, c.pos)
}

// stop is the position in the broadcast log that a client gets no further than.
func (c *Client) stop() uint64 {
	end := c.loop.broadcasts.End()
	if c.queue == nil || c.state == open && c.is(flagReplaying) {
		return end
	}
	return c.queue.StopsAt(end)
}

// trimmed accounts for a frame that the broadcast log is about to let go of: those who are still owed it won't be sent it.
func (l *Loop) trimmed(pos uint64, f *Frame) {
	note := func(c *Client) {
		if c.state != gone && c.pos <= pos && pos < c.stop() {
			l.loseBroadcast(c, LossSlow, f)
		}
	}
	for _, c := range l.behind.laggards {
		note(c)
	}
	if l.behind.pinned == 0 {
		return
	}
	for _, c := range l.clients.slots {
		if c != nil && c.is(flagPinned) && (c.queue == nil || !c.queue.Waiting) {
			note(c)
		}
	}
}

// accountEnd is for a client that is about to leave a state in which it was owed messages.
func (l *Loop) accountEnd(c *Client, to state) {
	cause := LossClosed
	switch c.cause {
	case CauseSlow:
		cause = LossSlow
	case CauseMemory:
		cause = LossMemory
	}
	if m := l.behind.replays[c.slot]; m != nil && c.state == open {
		l.account.lose(cause, m.Kinds())
	}
	ends := to == gone || c.cause == CauseSlow || c.cause == CauseMemory
	if o := c.queue; o != nil && ends {
		left := o.Kinds()
		if to == gone && o.Part() != nil { // else it goes out ahead of the Close
			left[delivery.KindOf(o.Part())]++
		}
		if c.state == closing {
			left[delivery.KindControl]-- // the Close, which isn't owed before it is out
		}
		l.account.lose(cause, left)
	}
	if ends || c.is(flagReplaying) {
		if c.state == open || c.queue != nil {
			l.loseBroadcasts(c, cause, c.pos, c.stop())
		}
	}
}

// loseUnseen accounts for messages that a client was to get, and that never came to its loop.
func (l *Loop) loseUnseen(c *Client, to *lostTo) {
	n := to.kinds
	for _, some := range n {
		l.account.owed += uint64(some)
	}
	if c.is(flagReplaying) || l.opts.Slow.Policy == CatchUp {
		l.account.replace(byChangeLog, n[delivery.KindChange])
		n[delivery.KindChange] = 0
	}
	l.account.lose(to.cause, n)
}

// unseen are lossy messages that never came to a loop, which nobody is told of, for the account. It is safe from any
// goroutine. When they are for too many audiences their clients aren't counted, only the messages.
type unseen struct {
	mu    sync.Mutex
	some  []lostTo
	bytes int
}

func (u *unseen) note(f *Frame, a *Audience) {
	u.mu.Lock()
	defer u.mu.Unlock()
	i := slices.IndexFunc(u.some, func(to lostTo) bool { return to.same(a) })
	if i < 0 {
		if len(u.some) == lostAudiences || u.bytes+a.bytes() > lostBytes {
			return
		}
		i = len(u.some)
		u.some, u.bytes = append(u.some, lostTo{Audience: a, cause: LossMailbox}), u.bytes+a.bytes()
	}
	u.some[i].kinds[delivery.KindOf(f)]++
}

// take gives tasks that account for what was noted before the tick now is over, to those who were there.
func (u *unseen) take(now uint32) (tasks []telling) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, to := range u.some {
		tasks = append(tasks, telling{audience: to.Audience, tell: func(c *Client) {
			if c.state == open && c.since <= now && !to.excludes(c) {
				c.loop.loseUnseen(c, &to)
			}
		}})
	}
	u.some, u.bytes = nil, 0
	return tasks
}
