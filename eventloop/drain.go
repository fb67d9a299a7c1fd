package eventloop

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gobwas/ws"
)

const (
	// leastPace is how many clients a second CloseOver closes at least, so that few clients don't take as long as many.
	leastPace = 20
	// paceTick is how often a loop is asked for more at most: more often would be a wake-up for each client.
	paceTick = 10 * time.Millisecond
)

// Unready has health checks on the listener answered with 503 from here on, and changes nothing else: a
// balancer needs a while to send nobody any more. Drain and CloseOver do it too.
func (e *Engine) Unready() { e.unready.Store(true) }

// CloseTime is how long CloseOver takes for the clients that there are when it is given so much time.
func (e *Engine) CloseTime(over time.Duration) time.Duration {
	return min(over, time.Duration(max(e.Clients()-1, 0))*time.Second/leastPace)
}

// CloseOver refuses new connections from here on and sends Close to the open clients at a steady pace, each
// behind all that it is owed: over so much time, or faster where that would be fewer than 20 a second. Whoever hasn't had
// its turn is served as before. reason is asked for each client's, with the time that is left until the
// last one's turn; it is called on the clients' loops, several at once. CloseOver returns when every client that
// was open has had its turn, or ctx has ended. Drain follows, for those that became open meanwhile.
func (e *Engine) CloseOver(ctx context.Context, over time.Duration, code ws.StatusCode, reason func(left time.Duration) string) error {
	e.Unready()
	e.places.Drain()
	p := pacing{engine: e, code: code, reason: reason, began: time.Now(), length: e.CloseTime(over)}
	errs := make([]error, len(e.loops))
	var all sync.WaitGroup
	for i, l := range e.loops {
		all.Go(func() { errs[i] = p.close(ctx, l) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// pacing is one CloseOver. It is immutable.
type pacing struct {
	engine *Engine
	code   ws.StatusCode
	reason func(left time.Duration) string
	began  time.Time
	length time.Duration // until the last client's turn
}

// closed is how far one loop has got: written by its tasks, one at a time, and read between them.
type closed struct {
	clients int
	next    int // slot
	end     bool
}

// close closes one loop's clients as they become due. The loop walks its client table once in all, in slices: what
// a slice has no time for, the next task does.
func (p *pacing) close(ctx context.Context, l *Loop) error {
	clients := float64(l.counters.Clients.Load())
	// Loops of few clients have their turns one after the other, not together.
	phase := float64(l.index+1) / float64(len(p.engine.loops))
	pause := paceTick
	if clients > 0 {
		pause = max(pause, time.Duration(float64(p.length)/clients))
	}
	var done closed
	for ran := make(chan struct{}, 1); ; {
		share := 1.0
		if passed := time.Since(p.began); passed < p.length {
			share = float64(passed) / float64(p.length)
		}
		due := int(clients*share + phase)
		late := share == 1 // nobody waits any more
		if late || due > done.clients {
			if !l.post(entry{run: func(l *Loop) {
				defer func() { ran <- struct{}{} }()
				p.closeSome(l, &done, due, late)
			}}) {
				return nil // nobody has ever been here
			}
			if err := p.engine.await(ctx, ran); err != nil {
				return err
			}
		}
		switch {
		case done.end:
			return nil
		case late || due > done.clients: // the slice was over
			continue
		}
		if err := p.engine.sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// closeSome runs on the loop: it goes on along the client table until so many clients have been closed in
// all, or everybody when the time is up, or the loop's slice is over.
func (p *pacing) closeSome(l *Loop, done *closed, due int, everybody bool) {
	left := max(p.length-time.Since(p.began), 0)
	for done.next < len(l.clients.slots) && (everybody || done.clients < due) && !l.fanout.over {
		done.next = l.each(done.next, len(l.clients.slots), func(i int) bool {
			if c := l.clients.slots[i]; c != nil && c.state == open {
				done.clients++
				c.Close(p.code, p.reason(left), CauseDraining)
			}
			l.fanout.spend(1)
			return (everybody || done.clients < due) && !l.fanout.over
		}, l.at)
	}
	done.end = done.next >= len(l.clients.slots)
}

// sleep is nil when so much time has passed before ctx has ended, and the engine.
func (e *Engine) sleep(ctx context.Context, d time.Duration) error {
	passed := make(chan struct{})
	timer := time.AfterFunc(d, func() { close(passed) })
	defer timer.Stop()
	return e.await(ctx, passed)
}
