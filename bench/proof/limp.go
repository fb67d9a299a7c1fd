package proof

import (
	"context"
	"errors"
	"time"
)

// limp stops reading again and again.
func (a *arena) limp(ctx, hard context.Context, s *slot, disconnected bool) error {
	for ctx.Err() == nil {
		if err := a.stallOnce(ctx, hard, s, disconnected); err != nil {
			return err
		}
	}
	return nil
}

// smallBuffer is the receive buffer of who stalls: the server notices soon. With less than some
// segments of loopback (64 KiB each) a window opens by persist timers alone: 16 KiB took 3 MiB
// at less than 100 KiB a second.
const smallBuffer = 256 << 10

func (a *arena) stallOnce(ctx, hard context.Context, s *slot, disconnected bool) error {
	came := s.cursor // without one it can't be told of a loss, and is disconnected instead
	if a.book.routed {
		came = 1 << 53 // nothing is replayed, which would have what it hasn't subscribed to as well
	}
	p, err := a.connect(hard, s, came, smallBuffer)
	if err != nil {
		return err
	}
	defer p.gone()
	p.with(func(acc *account) { acc.slow = true })
	err = a.subscribeAll(p)
	for err == nil && ctx.Err() == nil {
		if err = p.settle(); err != nil { // heard of just now, it isn't pinged before it reads on
			break
		}
		p.stall()
		a.count("stalled")
		pause(ctx, time.Second+time.Duration(s.random.IntN(20000))*time.Millisecond)
		if s.random.IntN(4) == 0 {
			a.count("left while stalled")
			return nil
		}
		p.resume()
		if err = p.catchUp(); err == nil {
			a.count("resumed")
		}
	}
	p.with(func(acc *account) { s.cursor = acc.seq; a.countN("resynced", acc.resynced) })
	if errors.Is(err, errEnded) && !errors.Is(err, errWronged) && (disconnected || came == 0) {
		a.count("disconnected for being slow")
		return nil
	}
	return err
}
