package hub

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/wsproto"
)

// A drain has three steps: Unready, CloseOver, Drain. Each does what those before it do, if they weren't called.
// Shutdown is the last step and the hub's end.

const (
	// returnRate is how many clients a second are asked to come back when all were closed at once.
	returnRate = 1000
	// longestSpread bounds how long that takes.
	longestSpread = 30 * time.Second
	// restartTime is what a server that follows this one needs to start, or somebody else to take a client over.
	restartTime = time.Second
)

// Unready has health checks answered with 503 from here on, and changes nothing else: a balancer takes a
// while to send nobody any more.
func (h *Hub) Unready() {
	h.unready.Store(true)
	h.engine.Unready()
}

// Draining is true once any step of a drain has begun.
func (h *Hub) Draining() bool { return h.unready.Load() }

// CloseOver refuses new connections and sends Close 1012 to one client after the other, each behind all that it is
// owed: over so much time, or faster where that would be fewer than 20 a second. Clients that haven't had their turn
// are served as before, and so are publishers. It returns when all have had theirs, or ctx has ended.
//
// Each Close says when to come back. Where there are other nodes (Options.Peers) that is within a second: the pace
// of the closing is that of the return. Else nobody can have the client before this server has ended and its
// successor has started: clients are told to wait for that, and then to come at the same pace.
func (h *Hub) CloseOver(ctx context.Context, over time.Duration) error {
	h.Unready()
	alone, spread := h.opts.Peers == nil, h.engine.CloseTime(over)
	if !alone {
		spread = restartTime
	}
	err := h.engine.CloseOver(ctx, over, wsproto.StatusServiceRestart, func(left time.Duration) string {
		return wsproto.ReconnectAfter(comeBack(alone, left, spread))
	})
	return h.endedEarly(err)
}

// comeBack is when a client that is closed now is asked to come back, when the last one is closed so much later.
func comeBack(alone bool, left, spread time.Duration) time.Duration {
	if !alone {
		return rand.N(spread + 1)
	}
	return left + restartTime + rand.N(spread+1)
}

// Drain refuses new connections and publishers, sends Close 1012 at once to everyone who is left, behind all that they
// are owed, and returns when all have gone or ctx has ended. Clients are told to come back at a thousand a second
// or within 30 s. Shutdown ends the hub.
func (h *Hub) Drain(ctx context.Context) error {
	h.Unready()
	h.shutDown.Store(true)
	spread := min(time.Duration(h.engine.Clients())*time.Second/returnRate, longestSpread)
	reason := func(time.Duration) string { return wsproto.ReconnectAfter(comeBack(h.opts.Peers == nil, 0, spread)) }
	_ = h.engine.CloseOver(ctx, 0, wsproto.StatusServiceRestart, reason)
	return h.endedEarly(h.engine.Drain(ctx, wsproto.StatusServiceRestart, reason(0)))
}

// endedEarly is err unless the hub has been shut down before.
func (h *Hub) endedEarly(err error) error {
	if err == nil || errors.Is(err, eventloop.ErrStopped) && h.engine.Err() == nil {
		return nil
	}
	return fmt.Errorf("draining: %w", err)
}

// Shutdown is Drain, and ends whom ctx left no time to go. Nothing of the hub runs when it returns.
// Publishers may go on all the while: they get ErrShutDown.
func (h *Hub) Shutdown(ctx context.Context) error {
	err := h.Drain(ctx)
	h.stop.Do(func() {
		h.cancel() // what runs in queues has nobody left to answer
		h.engine.Stop()
		grace, cancel := context.WithTimeout(context.Background(), queuesGrace)
		defer cancel()
		h.close(grace)
	})
	return err
}
