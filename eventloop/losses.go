package eventloop

import (
	"slices"
	"sync"

	"github.com/busbar-ws/busbar/eventloop/internal/delivery"
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
	own     bool // not change events alone, which those who are catching up get from the log
	updates bool // those of a row that no snapshot has before the next that is published
	events  Gap  // the first and the last of the change events

	cause    LossCause
	messages int // as far as is known
	kinds    delivery.ByKind
}

func (to *lostTo) add(more lostTo) {
	to.own, to.updates = to.own || more.own, to.updates || more.updates
	if to.messages == 0 { // whose number isn't known, or there were none yet
		to.cause = more.cause
	}
	to.messages += more.messages
	for kind, n := range more.kinds {
		to.kinds[kind] += n
	}
	to.events = to.events.Around(more.events)
}

// note adds those whom a lost frame was for. Who misses a lossy one isn't told.
func (s *losses) note(f *Frame, a *Audience) {
	if !f.Lossy {
		s.add(lostTo{
			Audience: a, own: f.Seq == 0, updates: f.Row != nil && !f.Row.Snapshot, events: Gap{From: f.Seq, To: f.Seq},
			cause: LossMailbox, messages: 1, kinds: one(delivery.KindOf(f)),
		})
	}
}

func one(k Kind) (n delivery.ByKind) {
	n[k] = 1
	return n
}

func (s *losses) add(lost lostTo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.IndexFunc(s.some, func(to lostTo) bool { return s.more || to.same(lost.Audience) }); i >= 0 {
		s.some[i].add(lost)
		return
	}
	s.some = append(s.some, lost)
	s.bytes += lost.bytes()
	if len(s.some) <= lostAudiences && s.bytes <= lostBytes {
		return
	}
	all := lostTo{own: true}
	for _, to := range s.some {
		all.add(to)
	}
	all.kinds = delivery.ByKind{} // who has missed how many of them isn't known
	s.some, s.more = []lostTo{all}, true
}

// telling tells clients of an audience of lost events, or of other messages.
type telling struct {
	audience *Audience
	events   Gap
	tell     func(*Client)
	lost     []lostTo
}

// place puts the task into what was taken from the mailbox: ahead of what came behind the first of the lost events.
// What comes behind it is above those, or all of them.
func (t *telling) place(l *Loop, taken []mailbox.Item[entry]) []mailbox.Item[entry] {
	at, passed := 0, t.events.To
	for i := range taken {
		if f := taken[i].Value.frame; f == nil || f.Seq == 0 || t.events.Empty() {
			continue
		} else if f.Seq > t.events.From {
			at, passed = i, min(passed, f.Seq-1)
			break
		}
		at = i + 1
	}
	visit := func(c *Client) {
		l.broadcasts.PassEvent(passed)
		t.tell(c)
	}
	return slices.Insert(taken, at, mailbox.Item[entry]{Value: entry{audience: t.audience, visit: visit}})
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
// before the tick now is over. Who came later hasn't. Where events of several audiences are lost it is one task, so that
// whoever belongs to some of them is told once.
func (s *losses) take(now uint32) (tasks []telling) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.some) == 0 {
		return nil // as nearly always: what is captured below isn't allocated
	}
	var all lostTo
	several := 0
	for _, to := range s.some {
		if all.add(to); !to.events.Empty() {
			several++
		}
	}
	some, more := s.some, s.more
	if several > 1 {
		tell := func(c *Client) {
			if c.state == open && c.since <= now {
				theirs := slices.DeleteFunc(slices.Clone(some), func(to lostTo) bool { return !to.includes(c) })
				for i := range theirs {
					c.loop.loseUnseen(c, &theirs[i])
				}
				c.loop.tellOfLosses(c, theirs, more)
			}
		}
		s.some, s.bytes, s.more = nil, 0, false
		return []telling{{nil, all.events, tell, some}}
	}
	for _, to := range some {
		tell := func(c *Client) {
			if c.state == open && c.since <= now && !to.excludes(c) {
				c.loop.loseUnseen(c, &to)
				c.loop.tellOfLosses(c, []lostTo{to}, more)
			}
		}
		tasks = append(tasks, telling{to.Audience, to.events, tell, []lostTo{to}})
	}
	s.some, s.bytes, s.more = nil, 0, false
	return tasks
}

// includes is whether a client is of the audience.
func (a *Audience) includes(c *Client) bool {
	switch {
	case a == nil:
		return true
	case a.Clients != nil:
		return slices.Contains(a.Clients, c.id)
	case a.Key != "":
		return c.Subscribed(a.Key) && !a.excludes(c)
	}
	g := c.groups[a.Label]
	return g != nil && slices.Contains(a.Names, g.name)
}

// tellOfLosses also has a newer snapshot fetched for those of a client's subscriptions that are being decided
// about for which something was lost. Who wasn't subscribed otherwise has missed nothing of that.
func (l *Loop) tellOfLosses(c *Client, some []lostTo, any bool) {
	var all lostTo
	missed := false
	if any {
		for _, p := range l.pendingOf(c) {
			p.Renew()
		}
	}
	for _, to := range some {
		if !any && to.Audience != nil {
			if p := l.pending(c, to.Key); p != nil {
				if p.Renew(); !p.Live && !to.updates {
					continue
				}
			}
		}
		missed = true
		all.add(to)
	}
	if missed {
		l.missed(c, all.own, all.events)
	}
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
	case l.opts.Slow.Policy == CatchUp && !events.Empty():
		if l.catchUp(c, events.From); own {
			c.set(flagLost)
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
		dropped := 0
		l.accountFor(c, LossSlow, func() {
			c.pos, dropped = o.Lose(&l.broadcasts, c.pos, l.broadcasts.End(), events)
		})
		c.set(flagLost)
		l.lost(c, dropped, o.LostEvents())
	}
}
