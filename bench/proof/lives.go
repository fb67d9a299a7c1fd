package proof

import (
	"context"
	"time"
)

// The lives that clients of a soak lead. Each takes two contexts: when the first ends it comes
// to its own end in an orderly way, the second cuts it off.

// steady stays all the time, takes everything, and lacks nothing at the end.
func (a *arena) steady(ctx, hard context.Context, s *slot) error {
	p, err := a.connect(hard, s, 0, 0)
	if err != nil {
		return err
	}
	defer p.gone()
	if err := a.subscribeAll(p); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-p.ended:
		return p.whyEnded()
	}
	if err := p.catchUp(); err != nil {
		return err
	}
	return leaveClean(p)
}

func (a *arena) subscribeAll(p *peer) error {
	for _, st := range a.book.of(topics, changes, rows) {
		if err := p.subscribe(st); err != nil {
			return err
		}
	}
	return p.settle()
}

// churn lives again and again.
func (a *arena) churn(ctx, hard context.Context, s *slot) error {
	for ctx.Err() == nil {
		if err := a.briefly(ctx, hard, s); err != nil {
			return err
		}
		pause(ctx, time.Duration(s.random.IntN(1000))*time.Millisecond)
	}
	return nil
}

func (a *arena) briefly(ctx, hard context.Context, s *slot) error {
	since := uint64(0)
	if !a.book.routed && s.random.IntN(2) == 0 {
		since = s.cursor
	}
	p, err := a.connect(hard, s, since, 0)
	if err != nil {
		return err
	}
	defer p.gone()
	wanted := a.book.of(topics, changes, rows)
	for range s.random.IntN(5) {
		if err := p.subscribe(wanted[s.random.IntN(len(wanted))]); err != nil {
			return err
		}
	}
	if err := p.settle(); err != nil {
		return err
	}
	for end := time.Now().Add(time.Duration(s.random.IntN(8000)) * time.Millisecond); time.Now().Before(end) && ctx.Err() == nil; {
		pause(ctx, time.Duration(s.random.IntN(1500))*time.Millisecond)
		if err := a.act(p, s, wanted); err != nil {
			return err
		}
	}
	if err := p.catchUp(); err != nil {
		return err
	}
	p.with(func(acc *account) { s.cursor = acc.seq; a.countN("resynced", acc.resynced) })
	return a.leave(hard, p, s)
}

// act does one thing of those that clients do.
func (a *arena) act(p *peer, s *slot, wanted []*stream) error {
	switch s.random.IntN(4) {
	case 0:
		return a.relayOnce(p, s, min(sizeOf(s.random), 40<<10))
	case 1:
		if err := p.subscribe(wanted[s.random.IntN(len(wanted))]); err != nil {
			return err
		}
		a.count("subscribed")
		return p.settle()
	case 2:
		var has []*stream
		p.with(func(acc *account) { has = acc.subscriptions() })
		if len(has) == 0 {
			return nil
		}
		a.count("unsubscribed")
		return p.unsubscribe(has[s.random.IntN(len(has))])
	}
	return p.settle()
}
