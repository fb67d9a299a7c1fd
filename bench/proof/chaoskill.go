package proof

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// kill ends the server under load again and again. Every client has to see it, to come back, to
// be told to resync if it has missed something, and to be given everything from there on.
func (o *ChaosOptions) kill(ctx context.Context, r *Record) error {
	return o.onStage(ctx, nil, func(ctx context.Context, s *stage) error {
		t := new(toll)
		for round := range o.Rounds {
			o.Progress("kill", int64(round), int64(o.Rounds))
			if err := o.killOnce(ctx, s, t); err != nil {
				return fmt.Errorf("round %d: %w", round+1, err)
			}
		}
		r.fact("%d rounds, %d clients: %d ends seen, the slowest after %v (bound %v)", o.Rounds, o.Clients, t.ends, t.slowest.Round(time.Millisecond), o.Bound)
		r.fact("%d were told to resync, %d had missed nothing; all were back within %v", t.resynced, t.intact, t.back.Round(time.Millisecond))
		r.fact("%d messages weren't taken while it was down; from the return on every client had each of the others once and in order", t.failures.Load())
		return nil
	})
}

// toll is what the rounds add up to.
type toll struct {
	ends, resynced, intact int
	slowest, back          time.Duration
	failures               atomic.Int64
}

func (o *ChaosOptions) killOnce(ctx context.Context, s *stage, t *toll) error {
	stop := s.load(ctx, o.Rate, &t.failures)
	defer stop()
	pause(ctx, o.Load)
	if err := s.together(func(p *peer) error {
		return p.until(patience, func() bool { return p.account.seq > 0 })
	}); err != nil {
		return fmt.Errorf("waiting for a change: %w", err)
	}
	killed := time.Now()
	s.kill()
	if err := s.together(func(p *peer) error { return p.awaitEnd(o.Bound) }); err != nil {
		return err
	}
	t.slowest = max(t.slowest, time.Since(killed))
	t.ends += len(s.peers)
	for _, p := range s.peers {
		if p.gone(); p.fault != nil { // its reader has ended
			return p.fault
		}
	}
	before := s.newest()

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
	if err := s.together((*peer).settle); err != nil {
		return err
	}
	t.back = max(t.back, time.Since(restart))
	pause(ctx, o.Load/2)
	stop()
	return s.whole(ctx, before, t)
}

// whole checks what the clients have after a return: the account has looked at each seq.
func (s *stage) whole(ctx context.Context, before uint64, t *toll) error {
	if err := s.alive(ctx); err != nil {
		return err
	}
	for i, p := range s.peers {
		var seq uint64
		told := 0
		p.with(func(a *account) { seq, told = a.seq, a.resynced })
		switch {
		case seq <= before:
			return wronged("%s is at seq %d: %d was there before the crash already", s.slots[i].name, seq, before)
		case told > 1:
			return wronged("%s was told %d times to resync", s.slots[i].name, told)
		case told == 0 && s.slots[i].cursor < before:
			return wronged("%s came back with %d, %d was there, and it wasn't told", s.slots[i].name, s.slots[i].cursor, before)
		case told == 0:
			t.intact++
		default:
			t.resynced++
		}
	}
	return nil
}
