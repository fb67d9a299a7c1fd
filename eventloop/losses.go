package eventloop

import (
	"slices"
	"sync"

	"github.com/busbar-ws/busbar/eventloop/internal/mailbox"
)

// What a loop remembers of those who have missed something. When it is more, all of the
// loop's clients are told.
const (
	lostAudiences = 64
	lostBytes     = 256 << 10 // of keys, names and ids
)

// losses are who was to be given reliable messages that never reached the loop's clients, since they were last
// told. The zero value is nobody. Safe from any goroutine.
type losses struct {
	mu    sync.Mutex
	some  []lostTo // no two are the same
	bytes int      // of what is remembered
	more  bool     // others besides, who aren't remembered: some is everyone
}

// lostTo is an audience that has missed something; nil is everyone.
type lostTo struct {
	*Audience
	own    bool // not change events alone, which those who are catching up get from the log
	events Gap  // the first and the last of those
}

func (to *lostTo) add(own bool, events Gap) {
	to.own = to.own || own
	switch {
	case to.events.Empty():
		to.events = events
	case !events.Empty():
		to.events = Gap{From: min(to.events.From, events.From), To: max(to.events.To, events.To)}
	}
}

// note adds those whom a lost frame was for. Who misses a lossy one isn't told.
func (s *losses) note(f *Frame, a *Audience) {
	if !f.Lossy {
		s.add(Gap{From: f.Seq, To: f.Seq}, a)
	}
}

// add adds those whom lost events were for, or, with none, other messages.
func (s *losses) add(events Gap, a *Audience) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := events.Empty()
	if i := slices.IndexFunc(s.some, func(to lostTo) bool { return s.more || to.same(a) }); i >= 0 {
		s.some[i].add(own, events)
		return
	}
	s.some = append(s.some, lostTo{a, own, events})
	s.bytes += a.bytes()
	if len(s.some) <= lostAudiences && s.bytes <= lostBytes {
		return
	}
	all := lostTo{own: true}
	for _, to := range s.some {
		all.add(true, to.events)
	}
	s.some, s.more = []lostTo{all}, true
}

// telling is a task that tells of lost events, or of other messages.
type telling struct {
	task   mailbox.Item[entry]
	events Gap
}

func (a *Audience) same(b *Audience) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Key == b.Key && a.Label == b.Label && slices.Equal(a.Clients, b.Clients) && slices.Equal(a.Names, b.Names)
}

// bytes is about what remembering the audience takes.
func (a *Audience) bytes() int {
	if a == nil {
		return 0
	}
	n := len(a.Key) + 8*len(a.Clients)
	for _, name := range a.Names {
		n += 16 + len(name) // 16 for the string header
	}
	return n
}

// take gives what is to be done ahead of what comes behind the losses: tasks that tell those who have missed something
// before the tick now is over. Who came later hasn't.
func (s *losses) take(now uint32) (tasks []telling) {
	s.mu.Lock()
	defer s.mu.Unlock()
	more := s.more
	for _, to := range s.some {
		tell := func(c *Client) {
			if c.state == open && c.since <= now && !to.excludes(c) {
				c.loop.tellOfLoss(c, to, more)
			}
		}
		tasks = append(tasks, telling{mailbox.Item[entry]{Value: entry{audience: to.Audience, visit: tell}}, to.events})
	}
	s.some, s.bytes, s.more = nil, 0, false
	return tasks
}

// tellOfLoss also has a newer snapshot fetched for those of a client's subscriptions that are being decided
// about for which something was lost. Who wasn't subscribed otherwise has missed nothing.
func (l *Loop) tellOfLoss(c *Client, to lostTo, any bool) {
	if any {
		for _, p := range l.pendingOf(c) {
			if l.losePending(c, p); c.state != open {
				return // too slow
			}
		}
	} else if to.Audience != nil {
		if p := l.pending(c, to.Key); p != nil {
			if l.losePending(c, p); !p.Live {
				return
			}
		}
	}
	l.missed(c, to.own, to.events)
}

// missed has a client be told behind what it is owed already. One that is catching up is
// told when it is released, unless the log has all that it has missed.
func (l *Loop) missed(c *Client, own bool, events Gap) {
	switch {
	case c.state != open:
	case c.is(flagReplaying):
		if own {
			c.set(flagLost)
		}
		if !events.Empty() && c.is(flagPinned) {
			c.set(flagAgain)
		}
	default:
		l.lose(c, events)
	}
}

// lose has an open client be told that events, or with none others, are lost behind all that it is owed.
func (l *Loop) lose(c *Client, events Gap) {
	o := c.ensureQueue()
	l.markDirty(c)
	switch {
	case !o.Telling() && !c.is(flagLost):
		if events.Empty() {
			events = Gap{From: l.broadcasts.EventBefore(l.broadcasts.End()) + 1}
			events.To = events.From - 1
		}
		l.notice(c, events, func(f *Frame, lost Gap) { o.TellBehind(f, l.broadcasts.End(), lost) })
	case !events.Empty():
		pos, dropped := o.Lose(&l.broadcasts, c.pos, l.broadcasts.End(), events.To)
		c.pos = pos
		c.set(flagLost)
		l.counters.LagDropped.Add(uint64(dropped))
	}
}
