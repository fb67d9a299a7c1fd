package proof

import (
	"cmp"
	"context"
	"slices"
)

// ledger is the server's change log, as an admin pulls it bit by bit. The account in it finds what is
// missing, twice or out of order; it lasts for as many lives as the server has.
type ledger struct{ *account }

func newLedger(b *Book) *ledger { return &ledger{newAccount(b, everyone)} }

// life is what a connection was given that has ended.
type life struct {
	user   string
	since  uint64
	events []event
}

// audit has the ledger go on to the log's end, and compares with it what publishers were answered and what
// clients were given.
func (s *stage) audit(ctx context.Context, l *ledger, lives []life) error {
	if err := s.pull(ctx, s.admin, l.seq, l.text); err != nil {
		return err
	}
	all := s.book.of(changes, bulks)
	owed := map[*stream]uint64{}
	for _, st := range all {
		owed[st] = st.taken()
	}
	if what, behind := l.behind(owed); behind {
		return wronged("what was acknowledged isn't in the log: %s", what)
	}
	for _, st := range all {
		for _, a := range st.takeAcks() {
			for i := range a.count {
				at, found := l.find(a.seq + i)
				if !found || l.events[at].stream != st || l.events[at].n != a.n+i {
					return wronged("%s %d was acknowledged as seq %d, which it isn't in the log", st.name, a.n+i, a.seq+i)
				}
			}
		}
	}
	for _, one := range lives {
		if err := l.compare(one); err != nil {
			return err
		}
	}
	return nil
}

// once wants no message twice in the log, also none whose fate its publisher doesn't know.
func (l *ledger) once() error {
	type message struct {
		stream *stream
		n      uint64
	}
	had := make(map[message]uint64, len(l.events))
	for _, e := range l.events {
		m := message{e.stream, e.n}
		if seq, twice := had[m]; twice {
			return wronged("%s %d is in the log twice, as seq %d and %d", e.stream.name, e.n, seq, e.seq)
		}
		had[m] = e.seq
	}
	return nil
}

func (l *ledger) find(seq uint64) (int, bool) {
	return slices.BinarySearchFunc(l.events, seq, func(e event, seq uint64) int { return cmp.Compare(e.seq, seq) })
}

// compare wants all that the user may see from the life's cursor on to its last event, and nothing else.
func (l *ledger) compare(got life) error {
	at, _ := l.find(got.since + 1)
	for i, e := range got.events {
		for at < len(l.events) && !l.events[at].stream.isFor(got.user) {
			at++
		}
		if at == len(l.events) || l.events[at] != e {
			return wronged("%s had %s %d as seq %d, the %d. of a connection with since=%d: in the log it isn't there, or other bytes",
				got.user, e.stream.name, e.n, e.seq, i+1, got.since)
		}
		at++
	}
	return nil
}

// compareAll compares with the ledger what clients have on their connections, and what a pull from the
// start gives.
func (s *stage) compareAll(ctx context.Context, l *ledger) error {
	for i, p := range s.peers {
		var err error
		p.with(func(a *account) { err = l.compare(life{s.slots[i].name, s.slots[i].cursor, a.events}) })
		if err != nil {
			return err
		}
	}
	if err := s.comparePull(ctx, l, everyone, s.admin); err != nil {
		return err
	}
	return s.comparePull(ctx, l, s.slots[0].name, s.slots[0].token)
}

// comparePull compares what a pull from the start gives a user.
func (s *stage) comparePull(ctx context.Context, l *ledger, user, token string) error {
	a := newAccount(s.book, user)
	if err := s.pull(ctx, token, 0, a.text); err != nil {
		return err
	}
	if err := l.compare(life{user, 0, a.events}); err != nil {
		return err
	}
	visible := 0
	for _, e := range l.events {
		if e.stream.isFor(user) {
			visible++
		}
	}
	if visible != len(a.events) {
		return wronged("a pull from the start gave %s %d events of %d", user, len(a.events), visible)
	}
	return nil
}
