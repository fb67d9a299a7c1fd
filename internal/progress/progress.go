// Package progress tells those who wait how far something has come.
package progress

import (
	"context"
	"sync"
)

// Progress is a number that rises. It is safe from any goroutine; the zero value is at 0.
type Progress struct {
	mu    sync.Mutex
	at    uint64
	moved chan struct{} // closed when at rises; nil when nobody waits
}

// Reach says that all up to n is done.
func (p *Progress) Reach(n uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = max(p.at, n)
	if p.moved != nil {
		close(p.moved)
		p.moved = nil
	}
}

// Reached is how far it has come.
func (p *Progress) Reached() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at
}

// Await returns when all up to n is done.
func (p *Progress) Await(ctx context.Context, n uint64) error {
	for {
		p.mu.Lock()
		reached := p.at >= n
		if !reached && p.moved == nil {
			p.moved = make(chan struct{})
		}
		moved := p.moved
		p.mu.Unlock()
		if reached {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
