package eventloop

import (
	"slices"
	"sync"
)

// What a loop remembers of those who have missed something. When it is more, all of the
// loop's clients are told.
const (
	lostAudiences = 64
	lostBytes     = 256 << 10 // of keys, names and ids
)

// lossLog is who a loop has to tell of what was lost since it last did. Safe from any goroutine.
type lossLog struct {
	mu     sync.Mutex
	losses losses
}

func (g *lossLog) note(f *Frame, a *Audience) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.losses.note(f, a)
}

func (g *lossLog) take() (lost losses) {
	g.mu.Lock()
	defer g.mu.Unlock()
	lost, g.losses = g.losses, losses{}
	return lost
}

// losses are who was to be given reliable messages that never reached the loop's clients.
// The zero value is nobody.
type losses struct {
	everyone bool     // everyone who follows the broadcast log
	some     []lostTo // no two are the same
	bytes    int      // of what is remembered
	more     bool     // others besides, who aren't remembered: everyone
}

// lostTo is an audience that has missed something.
type lostTo struct {
	*Audience
	own bool // not change events alone, which those who are catching up get from the log
}

// note adds those whom a lost frame was for. Who misses a lossy one isn't told.
func (s *losses) note(f *Frame, a *Audience) {
	switch {
	case f.Lossy || s.more:
		return
	case a == nil:
		s.everyone = true
		return
	}
	own := f.Seq == 0
	if i := slices.IndexFunc(s.some, func(to lostTo) bool { return to.same(a) }); i >= 0 {
		s.some[i].own = s.some[i].own || own
		return
	}
	s.bytes += a.bytes()
	if len(s.some) == lostAudiences || s.bytes > lostBytes {
		*s = losses{everyone: s.everyone, more: true}
		return
	}
	s.some = append(s.some, lostTo{a, own})
}

func (a *Audience) same(b *Audience) bool {
	return a.Key == b.Key && a.Label == b.Label && slices.Equal(a.Clients, b.Clients) && slices.Equal(a.Names, b.Names)
}

// bytes is about what remembering the audience takes.
func (a *Audience) bytes() int {
	n := len(a.Key) + 8*len(a.Clients)
	for _, name := range a.Names {
		n += 16 + len(name) // 16 for the string header
	}
	return n
}

// tellOfLosses tells those who have missed something, each of them once. Who follows the broadcast log
// is told there when that is for everyone.
func (l *Loop) tellOfLosses(s losses) {
	all := s.everyone || s.more
	if all {
		l.broadcastLoss() // those who are catching up are given it too, in its place
	}
	for _, to := range s.some {
		l.reach(to.Audience, func(c *Client) {
			if !all {
				l.missed(c, to.own)
			}
		})
	}
	if s.more { // any of those who are waiting for a snapshot
		for key, p := range l.subs.pending {
			l.losePending(l.clients.slots[key.slot], p)
		}
	}
}

func (l *Loop) broadcastLoss() {
	l.guard(nil, func() {
		if f := l.handler.LossNotice(nil); f != nil {
			l.engine.Count(f)
			l.broadcasts.Append(f)
			l.fanout.due += f.Size()
		}
	})
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

// reach calls f for those of an audience who would be given a message now. For those whose
// subscription is being decided about it has a newer snapshot fetched instead.
func (l *Loop) reach(a *Audience, f func(*Client)) {
	next, more := l.visitAudience(a), true
	for more {
		var c *Client
		c, more = l.nextOf(a, &next)
		if c == nil || a.excludes(c) {
			continue
		}
		p := l.subs.pending[pendingKey{c.slot, a.Key}]
		if p != nil {
			l.losePending(c, p)
		}
		if p == nil || p.live {
			f(c)
		}
	}
}
