package proof

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/busbar-ws/busbar/eventloop"
)

// ledger is the server's change log, as an admin pulls it bit by bit. The account in it finds what is
// missing, twice or out of order; it lasts for as many lives as the server has.
type ledger struct{ *account }

func newLedger(b *Book) *ledger { return &ledger{newAccount(b, everyone)} }

// life is what a connection was given, or a part of that.
type life struct {
	user   string
	since  uint64
	events []event
}

// audit has the ledger go on to the log's end, and compares with it what publishers were answered and what clients were
// given until now, under load too.
func (s *stage) audit(ctx context.Context) error {
	owed, acks := map[*stream]uint64{}, map[*stream][]ack{}
	for _, st := range s.book.of(changes, bulks) {
		owed[st], acks[st] = st.taken.Load(), st.takeAcks()
	}
	var lives []life
	for _, c := range s.clients {
		c.look(func(a *account) {
			if a != nil {
				c.endLife(a)
			}
			lives, c.lives = append(lives, c.lives...), nil
		})
	}
	l := s.ledger
	if err := s.catchUp(ctx); err != nil {
		return err
	}
	if what, behind := l.behind(owed); behind {
		return wronged("what was acknowledged isn't in the log: %s", what)
	}
	for st, acks := range acks {
		for _, a := range acks {
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

// catchUp has the ledger go on to the log's end.
func (s *stage) catchUp(ctx context.Context) error {
	return s.nodes[0].pull(ctx, s.nodes[0].admin, s.ledger.seq, s.ledger.text)
}

// outcome ends the load once enough was published, and compares what publishers were answered and clients were given
// with the log, which all nodes have to give alike.
func (s *stage) outcome(ctx context.Context, stop func() error) error {
	if err := s.published(ctx); err != nil {
		return err
	}
	if err := s.alive(ctx, presence, topics, broadcasts); err != nil {
		return err
	}
	if err := stop(); err != nil {
		return err
	}
	if err := s.catchUp(ctx); err != nil {
		return err
	}
	newest := make(map[string]uint64)
	for _, e := range s.ledger.events {
		newest[e.stream.toUser] = e.seq
	}
	stored := map[*stream]uint64{}
	for _, row := range s.book.of(rows) {
		stored[row] = row.taken.Load()
	}
	err := s.await(ctx, "for the newest event and the newest of each row", func(c *client, a *account) bool {
		_, lacks := a.behind(stored)
		return a.seq >= max(newest[""], newest[c.name]) && !lacks
	})
	if err != nil {
		return err
	}
	if err := s.compareLeft(ctx); err != nil {
		return err
	}
	s.leave()
	s.living.Wait()
	for _, c := range s.clients {
		if c.fault != nil {
			return c.fault
		}
	}
	if err := s.audit(ctx); err != nil {
		return err
	}
	one := s.clients[0]
	if err := s.comparePull(ctx, s.nodes[0], one.name, one.token); err != nil {
		return err
	}
	for i, n := range s.nodes {
		if err := s.comparePull(ctx, n, everyone, n.admin); err != nil {
			return fmt.Errorf("node %d: %w", i+1, err)
		}
	}
	s.cost()
	s.run.fact("%d changes: each that was acknowledged is there once, was sent once and in order, and all nodes and clients have the same bytes", len(s.ledger.events))
	return s.ledger.once()
}

// published waits until so many changes were acknowledged that three nodes are worth comparing.
func (s *stage) published(ctx context.Context) error {
	if s.layout.nodes == 1 {
		return nil
	}
	n := int64(0)
	err := poll(ctx, 8*patience, 100*time.Millisecond, func() (bool, error) {
		n = 0
		for _, st := range s.book.of(changes) {
			n += st.count.Load()
		}
		return n >= int64(s.o.Events), nil
	})
	if err != nil {
		return fmt.Errorf("%d changes were acknowledged, of %d that are to be compared: %w", n, s.o.Events, err)
	}
	s.enough.Store(true)
	return nil
}

// compareLeft wants nobody connected who was said to have left.
func (s *stage) compareLeft(ctx context.Context) error {
	left := map[uint64]string{}
	for _, c := range s.clients {
		c.look(func(a *account) {
			if a == nil {
				return
			}
			for id, start := range a.left {
				if start == s.book.starts[eventloop.NodeOf(id)].Load() {
					left[id] = c.name
				}
			}
		})
	}
	for i, n := range s.nodes {
		text, err := n.call(ctx, "GET", "/v1/clients?limit=1000", "", nil)
		if err != nil {
			return err
		}
		var page struct{ Clients []struct{ ID uint64 } }
		if err := json.Unmarshal(text, &page); err != nil || len(page.Clients) == 0 {
			return wronged("the clients of node %d are %s", i+1, text)
		}
		for _, one := range page.Clients {
			if who, wrong := left[one.ID]; wrong {
				return wronged("%s was told that client %d had left, which is at node %d", who, one.ID, i+1)
			}
		}
	}
	return nil
}

// once wants no message twice in the log, also none whose fate its publisher doesn't know.
func (l *ledger) once() error {
	had := make(map[event]uint64, len(l.events))
	for _, e := range l.events {
		message := event{stream: e.stream, n: e.n}
		if seq, twice := had[message]; twice {
			return wronged("%s %d is in the log twice, as seq %d and %d", e.stream.name, e.n, seq, e.seq)
		}
		had[message] = e.seq
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

// comparePull compares what a pull from the start gives a user.
func (s *stage) comparePull(ctx context.Context, n *node, user, token string) error {
	a := newAccount(s.book, user)
	if err := n.pull(ctx, token, 0, a.text); err != nil {
		return err
	}
	if err := s.ledger.compare(life{user, 0, a.events}); err != nil {
		return err
	}
	visible := 0
	for _, e := range s.ledger.events {
		if e.stream.isFor(user) {
			visible++
		}
	}
	if visible != len(a.events) {
		return wronged("a pull from the start gave %s %d events of %d", user, len(a.events), visible)
	}
	return nil
}
