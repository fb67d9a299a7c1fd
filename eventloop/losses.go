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
	own bool // not change events alone, which those who are catching up get from the log
}

// note adds those whom a lost frame was for. Who misses a lossy one isn't told.
func (s *losses) note(f *Frame, a *Audience) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.Lossy || s.more {
		return
	}
	own := f.Seq == 0
	if i := slices.IndexFunc(s.some, func(to lostTo) bool { return to.same(a) }); i >= 0 {
		s.some[i].own = s.some[i].own || own
		return
	}
	s.bytes += a.bytes()
	if len(s.some) == lostAudiences || s.bytes > lostBytes {
		s.some, s.more = []lostTo{{own: true}}, true
		return
	}
	s.some = append(s.some, lostTo{a, own})
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
func (s *losses) take(now uint32) (tasks []mailbox.Item[entry]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	more := s.more
	for _, to := range s.some {
		tell := func(c *Client) {
			if c.state == open && c.since <= now && !to.excludes(c) {
				c.loop.tellOfLoss(c, to, more)
			}
		}
		tasks = append(tasks, mailbox.Item[entry]{Value: entry{audience: to.Audience, visit: tell}})
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
	l.missed(c, to.own)
}

// missed has a client be told before it is sent more; see fellOff. One that is catching up is
// told when it is released, unless the log has all that it has missed.
func (l *Loop) missed(c *Client, own bool) {
	switch catchingUp := c.is(flagReplaying) && !c.is(flagPinned); {
	case c.state != open || catchingUp && !own:
	case c.is(flagReplaying):
		c.set(flagLost)
	default:
		c.set(flagLost)
		c.ensureQueue()
		l.markDirty(c)
	}
}
