package proof

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// publishers are callers of the API, each with streams of its own: the order of a stream is
// that of its one publisher.
const publishers = 4

// publishAll goes on until ctx ends, at so many messages a second, and is over when none is on
// its way.
func (a *arena) publishAll(ctx, hard context.Context, rate float64) {
	all := a.book.of(changes, topics, rows, presence, broadcasts)
	var wg sync.WaitGroup
	for i := range publishers {
		var own []*stream
		for j := i; j < len(all); j += publishers {
			own = append(own, all[j])
		}
		wg.Go(func() { a.publisher(ctx, hard, own, time.Duration(publishers/rate*float64(time.Second)), uint64(i)) })
	}
	wg.Wait()
}

func (a *arena) publisher(ctx, hard context.Context, own []*stream, every time.Duration, number uint64) {
	r := rand.New(rand.NewPCG(a.seed, 1<<32+number))
	tick := time.NewTicker(every)
	defer tick.Stop()
	for len(own) > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		s := own[r.IntN(len(own))]
		a.blame(hard, "publishing "+s.name, a.publish(hard, s, sizeOf(r)))
		a.count("published")
	}
}
