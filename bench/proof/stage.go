package proof

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// connectAll connects who isn't connected, with the cursors that they have.
func (s *stage) connectAll(ctx context.Context) error {
	errs := make([]error, len(s.slots))
	var wg sync.WaitGroup
	for i, one := range s.slots {
		wg.Go(func() {
			p, err := s.connectSoon(ctx, one)
			if err != nil {
				errs[i] = fmt.Errorf("%s: %w", one.name, err)
				return
			}
			s.peers[i] = p
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// connectSoon tries again and again, as clients do.
func (s *stage) connectSoon(ctx context.Context, one *slot) (*peer, error) {
	for late := time.Now().Add(patience); ; {
		p, err := s.connect(ctx, one, one.cursor, 0)
		if err == nil || time.Now().After(late) {
			return p, err
		}
		if !pause(ctx, 20*time.Millisecond) {
			return nil, ctx.Err()
		}
	}
}

// together has all clients do something at once, and says what kept the first from it.
func (s *stage) together(do func(*peer) error) error {
	errs := make([]error, len(s.peers))
	var wg sync.WaitGroup
	for i, p := range s.peers {
		wg.Go(func() {
			if err := do(p); err != nil {
				errs[i] = fmt.Errorf("%s: %w", s.slots[i].name, err)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// ready has a client subscribe to what there is to subscribe to.
func (s *stage) ready(p *peer) error {
	for _, st := range s.book.of(rows) {
		if err := p.subscribe(st); err != nil {
			return err
		}
	}
	return p.settle()
}

// load publishes until it is told to stop, whether or not anybody takes it. What can be published again is,
// until it is taken. failures counts the calls that weren't answered as they should.
func (s *stage) load(ctx context.Context, rate float64, failures *atomic.Int64, kinds ...kind) (stop func() error) {
	soft, cancel := context.WithCancel(ctx)
	all := s.book.of(kinds...)
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, st := range all {
		wg.Go(func() {
			tick := time.NewTicker(time.Duration(float64(len(all)) / rate * float64(time.Second)))
			defer tick.Stop()
			for n := i; soft.Err() == nil && errs[i] == nil; n++ {
				size := 40 + n%7*300
				if st.opIDs || st.kind == rows {
					errs[i] = s.insist(ctx, st, size, failures)
				} else if err := s.publish(ctx, st, size); err != nil {
					failures.Add(1)
				}
				select {
				case <-tick.C:
				case <-soft.Done():
				}
			}
		})
	}
	return func() error { cancel(); wg.Wait(); return errors.Join(errs...) }
}

// alive publishes once on each stream, and checks that everybody gets it.
func (s *stage) alive(ctx context.Context) error {
	for _, st := range s.book.of(changes, rows, presence, broadcasts) {
		if err := s.publish(ctx, st, 200); err != nil {
			return err
		}
	}
	return s.together((*peer).catchUp)
}

// bulk publishes so many changes in one body.
func (s *stage) bulk(ctx context.Context, count int) error {
	st := s.book.of(bulks)[0]
	n := st.begin(count)
	err := s.sendChanges(ctx, st, n, count, 61)
	st.finish(n, count, err)
	if err != nil {
		return fmt.Errorf("publishing %d changes: %w", count, err)
	}
	return s.together((*peer).catchUp)
}

// endLives notes what clients have had on connections that have ended, and the cursors that they come back with.
func (s *stage) endLives() {
	for i, p := range s.peers {
		one := s.slots[i]
		s.lives = append(s.lives, life{one.name, one.cursor, p.account.events})
		one.cursor = p.account.seq
	}
}

func (s *stage) takeLives() (lives []life) {
	lives, s.lives = s.lives, nil
	return lives
}

// within runs f and fails when it takes longer.
func within(most time.Duration, what string, f func() error) error {
	start := time.Now()
	err := f()
	if took := time.Since(start); took > most {
		return errors.Join(err, wronged("%s took %v, and %v at most was expected", what, took, most))
	}
	return err
}
