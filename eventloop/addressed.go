package eventloop

import (
	"math"

	"github.com/busbar-ws/busbar/eventloop/internal/mailbox"
)

// What waits in queues of clients that haven't had their turn yet. Above it no more is put there.
const mostUnsent = 256 << 10

// handleSome handles what has been taken from the mailbox, for as long as the slice lasts and what has been handled
// isn't too much to wait for its clients' turns.
func (l *Loop) handleSome() {
	for l.mailbox.handled < len(l.mailbox.taken) && l.mayQueue() {
		l.handle(&l.mailbox.taken[l.mailbox.handled].Value)
		l.fanout.spend(1)
	}
}

// takeMail takes what has piled up in the mailbox, behind the news of what was lost there.
func (l *Loop) takeMail() {
	l.mailbox.taken, l.mailbox.writable = l.mailbox.Take(shrink(l.mailbox.taken), l.mailbox.writable)
	l.mailbox.handled = 0
	for _, t := range l.mailbox.telling {
		for _, to := range t.lost {
			l.remember(Loss{Cause: to.cause, Messages: to.messages, Events: to.events})
		}
		l.mailbox.taken = t.place(l, l.mailbox.taken)
	}
	l.mailbox.telling = nil
	for i := range l.mailbox.taken {
		if l.mailbox.taken[i].Value.frame != nil {
			l.counters.Wakes.Add(1)
			break
		}
	}
}

// mayQueue is whether more may be handled before clients are sent what they are owed.
func (l *Loop) mayQueue() bool {
	return !l.fanout.over && l.fanout.unsent < mostUnsent && l.broadcasts.Bytes()-l.fanout.trimmedTo <= l.opts.Slow.LagBytes
}

// done lets go of the entries up to one.
func (l *Loop) done(end int) {
	clear(l.mailbox.taken[l.mailbox.handled:end])
	l.mailbox.handled = end
}

func (l *Loop) handle(e *entry) {
	switch {
	case e.frame != nil && l.mailbox.end == 0 && l.isEveryone(e.audience):
		l.broadcasts.Append(e.frame)
		l.account.owed += uint64(l.counters.Clients.Load())
		l.fanout.due += e.frame.Size()
		l.done(l.mailbox.handled + 1)
	case e.frame != nil || e.visit != nil:
		l.address(e)
	default:
		task := *e
		l.done(l.mailbox.handled + 1)
		l.run(task)
	}
}

func (l *Loop) run(t entry) {
	switch {
	case t.run != nil:
		l.guard(nil, func() { t.run(l) })
	case t.client != nil:
		if c := l.clients.find(t.id); c != nil && c.state != gone {
			l.guard(c, func() { t.client(c) })
		}
	}
}

// address begins a fan-out at the entry, or goes on with the one that has begun there: of a message for some of the
// loop's clients into their queues, with those right behind it that are for the same, or of a task for each of
// them. It may take many turns. Nothing behind these entries is handled before all of them have it, so that each
// client gets what it gets in the order in which it was published.
//
// An audience is who belongs to it when the fan-out begins, less those who leave it before their
// turn. Who joins it meanwhile came behind the message.
func (l *Loop) address(e *entry) {
	f, a := &l.mailbox, e.audience
	if f.end == 0 {
		f.end = l.mailbox.handled + l.forTheSame(e)
		f.next = l.visitAudience(a)
		for i := range l.mailbox.taken[l.mailbox.handled:f.end] {
			if g := l.mailbox.taken[l.mailbox.handled+i].Value.frame; g != nil {
				l.broadcasts.PassEvent(g.Seq)
			}
		}
	}
	given := l.mailbox.taken[l.mailbox.handled:f.end]
	more := true
	for more && l.mayQueue() {
		l.each(0, math.MaxInt, func(int) bool {
			f.visited = nil
			switch f.visited, more = l.nextOf(a, &f.next); {
			case f.visited == nil:
			case e.frame == nil:
				e.visit(f.visited)
			case a.excludes(f.visited):
				if p := l.pending(f.visited, a.Key); p != nil {
					excludePending(p, given)
				}
			default:
				f.wanted = true
				l.give(f.visited, given)
			}
			l.fanout.spend(len(given))
			return more && l.mayQueue()
		}, func(int) *Client { return f.visited })
	}
	if more {
		return
	}
	run := e.run
	if e.frame != nil && !f.wanted && a.key != nil {
		l.counters.Unwanted.Add(uint64(len(given)))
	}
	l.done(f.end)
	f.end, f.visited, f.wanted = 0, nil, false
	if run != nil {
		l.guard(nil, func() { run(l) })
	}
}

// forTheSame is how many entries from e on are messages for its audience; 1 for a task.
func (l *Loop) forTheSame(e *entry) (n int) {
	if e.frame == nil {
		return 1
	}
	for i := range l.mailbox.taken[l.mailbox.handled:] {
		other := &l.mailbox.taken[l.mailbox.handled+i].Value
		if other.frame == nil || other.audience == nil || n > 0 && !other.audience.same(e.audience) {
			break
		}
		n++
	}
	return n
}

// give queues messages for a client of their audience.
func (l *Loop) give(c *Client, given []mailbox.Item[entry]) {
	for i := range given {
		if e := &given[i].Value; e.audience.key == nil || !l.buffer(c, e.audience.key, e.frame) {
			l.enqueue(c, e.frame, false)
		}
	}
}

// visitAudience begins to visit an audience's clients. It returns which of its names, or ids, is next.
func (l *Loop) visitAudience(a *Audience) (next int) {
	switch {
	case a == nil:
	case a.key != nil:
		l.subs.Visit(a.key)
	case a.Clients == nil && len(a.Names) > 0:
		l.clients.visit(a.Label, a.Names[0])
		return 1
	}
	return 0
}

// nextOf is the next client of the audience that is visited. It may be nil, and there may be more yet.
func (l *Loop) nextOf(a *Audience, next *int) (c *Client, more bool) {
	switch {
	case a == nil:
		*next++
		return l.at(*next), *next < len(l.clients.slots)
	case a.key != nil:
		slot, ok := l.subs.Next()
		if !ok {
			return nil, false
		}
		return l.clients.slots[slot], true
	case a.Clients != nil:
		if *next == len(a.Clients) {
			return nil, false
		}
		*next++
		return l.clients.find(a.Clients[*next-1]), true
	}
	if c = l.clients.next(); c == nil && *next < len(a.Names) {
		l.clients.visit(a.Label, a.Names[*next])
		*next++
		return nil, true
	}
	return c, c != nil
}
