package eventloop

import (
	"context"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/wsproto"
)

// Drain refuses new connections from here on, sends Close with the code and reason to
// every client, behind all that it is owed, and returns when every connection has ended
// or ctx has.
func (e *Engine) Drain(ctx context.Context, code ws.StatusCode, reason string) error {
	e.places.Drain()
	err := e.Each(ctx, func(l *Loop) {
		for _, c := range l.clients.slots {
			switch {
			case c == nil || c.state == closing:
			case c.state == authorising:
				l.refuse(c, wsproto.RefuseDraining, CauseDraining)
			case !c.is(flagOverflow):
				c.Close(code, reason, CauseDraining)
			}
		}
	})
	if err != nil {
		return err
	}
	select {
	case <-e.places.Empty():
		return nil
	case <-e.lifecycle.done:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stop ends all connections without a word, closes the listeners, and returns when
// nothing of the engine runs any more. Publishers may go on meanwhile: what they publish reaches nobody.
func (e *Engine) Stop() {
	e.places.Drain()
	if !e.lifecycle.running.Load() {
		return
	}
	e.lifecycle.stopOnce.Do(func() {
		e.awaitYielders() // gnet would leave who waits for a connection waiting
		// gnet looks twice a second for whether it has ended (v2.9.8, Engine.Stop), and gives
		// that up at once for a context that has. done tells the same, and sooner.
		ended, end := context.WithCancel(context.Background())
		end()
		_ = e.gnet.engine.Stop(ended)
		<-e.lifecycle.done
		e.fdWatch.again.Stop()
		for _, l := range e.loops {
			l.ticker.timer.Stop()
			l.mailbox.End()
		}
		e.watcher.Close()
	})
}

// endWakes is called when gnet has been told to end, and before it closes what a wake-up writes to.
// A wake-up that is under way is waited for, and no other begins.
func (e *Engine) endWakes() {
	for _, l := range e.loops {
		l.waking.mu.Lock()
		l.waking.stopped = true
		l.waking.mu.Unlock()
	}
}
