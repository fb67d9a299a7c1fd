package proof

import (
	"context"
	"sync"
	"time"
)

// storms have all of their clients come at once, and go at once.
func (a *arena) storms(ctx, hard context.Context, crowd []*slot, every time.Duration) {
	for len(crowd) > 0 && pause(ctx, every) {
		a.count("storms")
		a.storm(hard, crowd)
	}
}

func (a *arena) storm(hard context.Context, crowd []*slot) {
	peers := make([]*peer, len(crowd))
	var wg sync.WaitGroup
	for i, s := range crowd {
		wg.Go(func() {
			p, err := a.connect(hard, s, s.cursor, 0)
			if err == nil {
				peers[i] = p
				if err = p.settle(); err == nil {
					err = p.catchUp()
				}
			}
			a.blame(hard, s.name, err)
		})
	}
	wg.Wait()
	for i, p := range peers {
		if p != nil {
			if !a.book.routed {
				p.with(func(acc *account) { crowd[i].cursor = acc.seq })
			}
			wg.Go(p.gone)
		}
	}
	wg.Wait()
}
