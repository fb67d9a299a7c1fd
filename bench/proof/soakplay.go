package proof

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// soak is one daemon and its clients.
type soak struct {
	*SoakOptions
	*arena
	policy                           string
	churners, steadies, limpers, mob []*slot
}

// play is the whole soak: everything is used once, looked at, churned, and looked at again when
// the last client has left.
func (s *soak) play(ctx context.Context) (*SoakRun, error) {
	run := &SoakRun{Policy: s.policy, Routed: s.book.routed, Counts: s.counts}
	s.began = time.Now()
	if err := s.warmUp(ctx); err != nil {
		return nil, err
	}
	start, _, err := s.level(ctx, nil)
	if err != nil {
		return nil, err
	}
	run.Start = start
	hard, cut := context.WithCancel(ctx)
	s.wrong = cut
	soft, end := context.WithTimeout(hard, s.Duration)
	sampled := make(chan []Sample)
	go func() { sampled <- s.samples(soft) }()
	s.churnAll(soft, hard)
	interrupted := ctx.Err() != nil
	end()
	run.Samples = <-sampled
	cut()
	run.Wrongs = s.blamed()
	run.Seconds = time.Since(s.began).Seconds()
	if interrupted {
		run.Trends = trends(run)
		run.Leaks = []string{fmt.Sprintf("interrupted after %.0f s: nobody looked at what is left", run.Seconds)}
		return run, nil
	}
	run.End, run.Leaks, err = s.level(ctx, &start)
	run.Trends = trends(run)
	run.Leaks = append(run.Leaks, growing(run)...)
	return run, err
}

// warmUp has everything happen once: sessions exist, rows are stored, workers and connections
// to the database are there.
func (s *soak) warmUp(ctx context.Context) (err error) {
	at := 0
	for _, group := range []struct {
		slots *[]*slot
		name  string
		count int
	}{{&s.churners, "churner", s.Churners}, {&s.steadies, "steady", s.Steady}, {&s.limpers, "limper", s.Limpers}, {&s.mob, "storm", s.Storm}} {
		if *group.slots, err = s.slots(ctx, group.name, at, group.count); err != nil {
			return err
		}
		at += group.count
	}
	for _, st := range s.book.of(changes, topics, rows, presence, broadcasts) {
		for _, size := range []int{100, 1 << 20} {
			if err := s.publish(ctx, st, size); err != nil {
				return err
			}
		}
	}
	s.storm(ctx, s.mob)
	if wrongs := s.blamed(); len(wrongs) > 0 {
		return errors.New(wrongs[0])
	}
	return nil
}

// churnAll is over when every client has come to its end.
func (s *soak) churnAll(soft, hard context.Context) {
	var wg sync.WaitGroup
	live := func(all []*slot, life func(*slot) error) {
		for _, one := range all {
			wg.Go(func() {
				for soft.Err() == nil {
					err := life(one)
					s.blame(hard, one.name, err)
					if err != nil && !pause(soft, time.Second) { // it comes again, but not in a hurry
						return
					}
				}
			})
		}
	}
	publishing, stop := context.WithCancel(soft)
	defer stop()
	live(s.steadies, func(one *slot) error { return s.steady(soft, hard, one) })
	live(s.churners, func(one *slot) error { return s.churn(soft, hard, one) })
	live(s.limpers, func(one *slot) error { return s.limp(soft, hard, one, s.policy == "disconnect") })
	wg.Go(func() { s.storms(soft, hard, s.mob, s.Storms) })
	wg.Go(func() { s.publishAll(publishing, hard, s.Rate) })
	wg.Wait()
}

// samples looks at the server all along.
func (s *soak) samples(ctx context.Context) (all []Sample) {
	for {
		sample, err := s.sample(context.WithoutCancel(ctx), s.began)
		if err == nil {
			all = append(all, sample)
		}
		s.blame(ctx, "a sample", err)
		s.Progress("soak", int64(time.Since(s.began)/time.Second), int64(s.Duration/time.Second))
		if !pause(ctx, s.Every) {
			return all
		}
	}
}

// level waits until nobody is there, and what was taken is given back. With a start it is over
// when all is back there, or when that has taken too long: then it says what isn't.
func (s *soak) level(ctx context.Context, start *Sample) (now Sample, left []string, err error) {
	for late := time.Now().Add(s.Settle); ; {
		s.http.CloseIdleConnections()
		if now, err = s.sample(ctx, s.began); err != nil {
			return now, nil, err
		}
		if left = leftBehind(now, start); len(left) == 0 {
			return now, nil, nil
		}
		if time.Now().After(late) {
			return now, left, nil
		}
		if !pause(ctx, 100*time.Millisecond) {
			return now, left, ctx.Err()
		}
	}
}
