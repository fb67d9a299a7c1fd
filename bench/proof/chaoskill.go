package proof

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// kill ends the server under load again and again. Every client has to see it, to come back with its
// cursor, and to have each change once and in order whatever connections it came over; nobody may have to
// resync.
func (o *ChaosOptions) kill(ctx context.Context, r *Record) error {
	return o.onStage(ctx, durableStreams, func(ctx context.Context, s *stage) error {
		return o.crashes(ctx, s, r, o.Rounds, "kill -9", func() error { s.kill(); return nil })
	})
}

// durableStreams are what has to outlive a server: changes published in all ways there are, and rows.
func durableStreams(_ *daemon, b *Book) {
	b.audited = true
	for _, s := range b.of(changes) {
		s.opIDs = true
	}
	b.add(changes, "bodies", 1)[0].opIDs = true
	b.add(changes, "bodiesWithout", 1)
	b.streams["bodies0"].body, b.streams["bodiesWithout0"].body = 20, 5
	b.add(changes, "without", 1)
	toOne := b.add(changes, "private", 1)[0]
	toOne.opIDs, toOne.toUser = true, "client0"
	b.add(rows, "x", 2)
}

// toll is what crashes add up to.
type toll struct {
	*ledger
	slowest, back, gap time.Duration
	failures           atomic.Int64
}

// crashes has the server end by crash, under load, and start again, so many times.
func (o *ChaosOptions) crashes(ctx context.Context, s *stage, r *Record, rounds int, name string, crash func() error) error {
	t := &toll{ledger: newLedger(s.book)}
	for round := range rounds {
		o.Progress(r.Name, int64(round), int64(rounds))
		if err := o.crashOnce(ctx, s, t, crash); err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
	}
	if err := s.compareAll(ctx, t.ledger); err != nil {
		return err
	}
	r.fact("%d times %s, %d clients, %d changes: each that was acknowledged once, in order and byte for byte at all clients and in a pull; nobody was told to resync",
		rounds, name, o.Clients, len(t.events))
	r.fact("%d calls failed and were made again, or given up without an op_id; acknowledged rows were there", t.failures.Load())
	r.fact("the slowest end was seen after %v (bound %v); all were back within %v of a start, %v of a crash",
		t.slowest.Round(time.Millisecond), o.Bound, t.back.Round(time.Millisecond), t.gap.Round(time.Millisecond))
	return nil
}

func (o *ChaosOptions) crashOnce(ctx context.Context, s *stage, t *toll, crash func() error) error {
	stop := s.load(ctx, o.Rate, &t.failures, changes, rows, presence, broadcasts)
	defer func() { _ = stop() }()
	pause(ctx, o.Load/2+rand.N(o.Load)) //nolint:gosec // any moment will do
	if err := s.together(func(p *peer) error {
		return p.until(patience, func() bool { return len(p.account.events) > 0 })
	}); err != nil {
		return fmt.Errorf("waiting for a change: %w", err)
	}
	if err := o.crashAndReturn(ctx, s, t, crash); err != nil {
		return err
	}
	pause(ctx, o.Load/2)
	if err := stop(); err != nil {
		return err
	}
	if err := s.alive(ctx); err != nil {
		return err
	}
	return s.audit(ctx, t.ledger, s.takeLives())
}

// crashAndReturn is over when all clients are back that had a connection when the server crashed.
func (o *ChaosOptions) crashAndReturn(ctx context.Context, s *stage, t *toll, crash func() error) error {
	crashed := time.Now()
	if err := crash(); err != nil {
		return err
	}
	if err := s.together(func(p *peer) error { return p.awaitEnd(o.Bound) }); err != nil {
		return err
	}
	t.slowest = max(t.slowest, time.Since(crashed))
	for _, p := range s.peers {
		if p.gone(); p.fault != nil { // its reader has ended
			return p.fault
		}
	}
	s.endLives()
	started := make(chan error, 1)
	restart := time.Now()
	go func() { started <- s.start(ctx) }() // they come while it does
	err := s.connectAll(ctx)
	if e := <-started; e != nil {
		return e
	}
	if err != nil {
		return err
	}
	if err := s.together(s.ready); err != nil {
		return err
	}
	t.back, t.gap = max(t.back, time.Since(restart)), max(t.gap, time.Since(crashed))
	return nil
}
