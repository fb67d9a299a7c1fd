package bench

import (
	"context"
	"fmt"
	"time"
)

// Connect connects all clients and returns how long that took. progress is called with the
// number of clients that are; it may be nil.
func (l *Load) Connect(ctx context.Context, server string, progress func(int)) (time.Duration, error) {
	began := now()
	l.asked++
	first := 0
	for i, w := range l.workers {
		share := l.opts.Clients / len(l.workers)
		if i < l.opts.Clients%len(l.workers) {
			share++
		}
		plan := connectPlan{
			Server: server, Clients: share, First: first, Pace: l.opts.Pace, Token: l.opts.Token, Stall: l.opts.Stall,
			Apart: l.apart != nil, Brief: l.opts.brief,
			Roles: l.opts.roles,
		}
		if err := w.tell(instruction{ID: l.asked, Tell: tellConnect, Connect: plan}); err != nil {
			return 0, err
		}
		first += share
	}
	connected := 0
	for _, w := range l.workers {
		r, err := l.answer(ctx, w, progress)
		if err != nil {
			return 0, fmt.Errorf("connecting %d clients (%d are): %w", l.opts.Clients, l.Connected(), err)
		}
		connected += r.Connected
	}
	if connected != l.opts.Clients {
		return 0, fmt.Errorf("connecting %d clients: only %d are", l.opts.Clients, connected)
	}
	return time.Duration(now() - began), nil
}
