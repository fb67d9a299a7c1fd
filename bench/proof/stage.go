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

// load publishes until it is told to stop, whether or not anybody takes it. failures counts
// what wasn't taken.
func (s *stage) load(ctx context.Context, rate float64, failures *atomic.Int64) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	all := s.book.of(changes, presence, broadcasts)
	var wg sync.WaitGroup
	for i, st := range all {
		wg.Go(func() {
			tick := time.NewTicker(time.Duration(float64(len(all)) / rate * float64(time.Second)))
			defer tick.Stop()
			for n := i; ctx.Err() == nil; n++ {
				if s.publish(context.WithoutCancel(ctx), st, 40+n%7*300) != nil {
					failures.Add(1)
				}
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

// alive publishes once on each stream, and checks that everybody gets it.
func (s *stage) alive(ctx context.Context) error {
	for _, st := range s.book.of(changes, presence, broadcasts) {
		if err := s.publish(ctx, st, 200); err != nil {
			return err
		}
	}
	return s.together((*peer).catchUp)
}

// bulk publishes so many changes in one body.
func (s *stage) bulk(ctx context.Context, count int) error {
	st := s.book.of(changes)[0]
	var body []byte
	first := st.next()
	for n := first; n < first+uint64(count); n++ {
		st.begin()
		body = append(append(body, changeOf(st, n, 61)...), '\n')
	}
	_, err := s.call(ctx, "POST", "/v1/changes", "application/x-ndjson", body)
	for n := first; n < first+uint64(count); n++ {
		st.finish(n, err == nil)
	}
	if err != nil {
		return fmt.Errorf("publishing %d changes: %w", count, err)
	}
	return s.together((*peer).catchUp)
}

// newest is the highest seq that a client has had, and sets the cursors that they will come
// back with.
func (s *stage) newest() (seq uint64) {
	for i, p := range s.peers {
		p.with(func(a *account) { s.slots[i].cursor = a.seq })
		seq = max(seq, s.slots[i].cursor)
	}
	return seq
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
