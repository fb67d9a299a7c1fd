package proof

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// chaosBook is what is published at each node: bodies and single changes, with and without op ids, for all and for one
// user, by HTTP and, where NATS runs beside the nodes, by requests to it; and what isn't in the log.
func chaosBook(l layout) *Book {
	b := newBook(false)
	b.audited = true
	several := l.nodes > 1
	many := 20 // in a body
	if several {
		many = 200
	}
	for _, one := range []struct {
		name   string
		body   int
		opIDs  bool
		toUser string
		nats   bool
	}{
		{"bodies", many, true, "", false}, {"single", 1, true, "", false}, {"without", many / 4, false, "", false},
		{"lone", 1, false, "", false}, {"private", max(1, many/50), true, "client0", false}, {"requests", many, true, "", true}, {"request", 1, true, "", true},
	} {
		if one.nats && !l.external {
			continue
		}
		for _, s := range b.add(changes, one.name, l.nodes) {
			s.body, s.opIDs, s.toUser, s.nats, s.late = one.body, one.opIDs, one.toUser, one.nats, several && !one.opIDs
		}
	}
	b.add(bulks, "bulk", 1)[0].opIDs = several
	for _, s := range b.add(rows, "row", max(2, l.nodes)) {
		s.late = several
	}
	for _, s := range append(b.add(presence, "presence", l.nodes), b.add(topics, "topic", l.nodes)...) {
		s.lossy = several
	}
	if !several {
		b.add(broadcasts, "b", 1)
		b.add(relays, "r", 3)
	}
	return b
}

func chaosSize(s *stream, n uint64) int {
	if s.kind == rows && s.late && n%100 == 1 { // such are stored in parts
		return 300 << 10
	}
	return 40 + int(n%7)*300/s.body
}

// publisher publishes one stream, at its own node as long as that answers; what may be lost at no other, whose messages
// overtake its own. One goroutine has it.
type publisher struct {
	stream   *stream
	at, home int
	left     time.Time // home, for another node
	failures int
	took     []time.Duration
	longest  time.Duration // without an acknowledgement
}

// load publishes so many messages a second, until it is told to stop, whether or not anybody takes them: what can be
// published again is, until it is taken. failed is told of the others, and may be nil.
func (s *stage) load(ctx context.Context, rate float64, failed func(*stream, error)) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	soft, end := context.WithCancel(ctx)
	all := s.book.of(changes, topics, rows, presence, broadcasts)
	each := 0
	for _, st := range all {
		each += st.body
	}
	every := time.Duration(float64(each) / rate * float64(time.Second))
	var g errgroup.Group
	for i, st := range all {
		p := &publisher{stream: st, home: i % len(s.nodes), at: i % len(s.nodes)}
		s.publishers = append(s.publishers, p)
		g.Go(func() error {
			pause(soft, rand.N(every)) //nolint:gosec // not all at once
			return s.publishEach(ctx, soft, p, every, failed)
		})
	}
	return func() error {
		end()
		defer cancel()
		return g.Wait()
	}
}

func (s *stage) publishEach(ctx, soft context.Context, p *publisher, every time.Duration, failed func(*stream, error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for acknowledged := time.Now(); !(s.enough.Load() && p.stream.kind == changes); {
		select {
		case <-tick.C:
		case <-soft.Done():
			return nil
		}
		began := time.Now()
		err := s.publish(ctx, p)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errWronged):
			return err
		case err != nil:
			if failed != nil {
				failed(p.stream, err)
			}
			continue
		}
		now := time.Now()
		p.took, p.longest, acknowledged = append(p.took, now.Sub(began)), max(p.longest, now.Sub(acknowledged)), now
	}
	return nil
}

// publish sends the stream's next messages: again and again if they have op ids, or are a row's.
func (s *stage) publish(ctx context.Context, p *publisher) error {
	st, last := p.stream, error(nil)
	n := st.begin(st.body)
	err := poll(ctx, 4*patience, 20*time.Millisecond, func() (bool, error) {
		last = s.send(ctx, p, n)
		if last == nil || errors.Is(last, errWronged) || !st.opIDs && st.kind != rows {
			return true, last
		}
		if st.kind == rows && st.late {
			st.mark(n, repeated)
		}
		return false, nil
	})
	if errors.Is(err, errLate) {
		err = wronged("%s %d wasn't taken: %w", st.name, n, last)
	}
	st.finish(n, st.body, err)
	return err
}

// send tries once, and goes to the next node when that fails.
func (s *stage) send(ctx context.Context, p *publisher, number uint64) (err error) {
	if p.at != p.home && time.Since(p.left) > homeAgain && !s.nodes[p.home].away.Load() {
		p.at = p.home
	}
	ctx, cancel := context.WithTimeout(ctx, s.attempt)
	defer cancel()
	st := p.stream
	err = s.nodes[p.at].send(ctx, st, number, s.size(st, number))
	if err != nil {
		p.failures++
		err = fmt.Errorf("at node %d: %w", p.at+1, err)
		if !st.lossy {
			p.at, p.left = (p.at+1)%len(s.nodes), time.Now()
		}
	}
	return err
}

// alive waits until each client has what is published from now on.
func (s *stage) alive(ctx context.Context, kinds ...kind) error {
	now := map[*stream]uint64{}
	for _, st := range s.book.of(kinds...) {
		now[st] = st.begun.Load() + 1
	}
	return s.arrive(ctx, now)
}

func (s *stage) arrive(ctx context.Context, now map[*stream]uint64) error {
	lacks := ""
	err := s.await(ctx, "for what is published now", func(_ *client, a *account) bool {
		for st, n := range now {
			if p := a.places[st]; p != nil && p.next <= n {
				lacks = fmt.Sprintf("%s %d", st.name, n)
				return false
			}
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("%w, such as %s", err, lacks)
	}
	return nil
}

// bulk publishes so many changes in one body, which all clients get.
func (s *stage) bulk(ctx context.Context, count int) error {
	st := s.book.of(bulks)[0]
	n := st.begin(count)
	seq, err := s.nodes[0].sendChanges(ctx, st, n, count, 61)
	st.finish(n, count, err)
	if err != nil {
		return fmt.Errorf("publishing %d changes: %w", count, err)
	}
	return s.await(ctx, "for a body of many changes", func(_ *client, a *account) bool { return a.seq >= seq })
}

// cost is what publishers and clients have noticed.
func (s *stage) cost() {
	var all []time.Duration
	failures := 0
	longest := &publisher{}
	for _, p := range s.publishers {
		failures += p.failures
		all = append(all, p.took...)
		if !p.stream.lossy && p.longest > longest.longest {
			longest = p
		}
	}
	if len(all) == 0 {
		return
	}
	slices.Sort(all)
	connections := 0
	var had [kinds]int
	for _, c := range s.clients {
		connections += c.connections
		for kind, n := range c.had {
			had[kind] += n
		}
	}
	s.run.fact("%d calls acknowledged, p50 %v, p99 %v; %d failed, and were made again, or given up without an op_id; the longest without an acknowledgement: %v (%s)",
		len(all), all[len(all)/2].Round(100*time.Microsecond), all[len(all)*99/100].Round(time.Millisecond), failures,
		longest.longest.Round(100*time.Millisecond), longest.stream.name)
	if s.slowest > 0 {
		s.run.fact("the slowest client saw its server's end after %v (bound %v)", s.slowest.Round(time.Millisecond), s.o.Bound)
	}
	s.run.fact("%d clients had %d connections, and on them %d changes, %d frames of rows, %d other messages; nobody was told to resync",
		len(s.clients), connections, had[changes]+had[bulks], had[rows], had[presence]+had[topics]+had[broadcasts]+had[relays])
}
