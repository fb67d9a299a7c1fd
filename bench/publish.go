package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// ErrStalled: messages were published, and for a while no client got any further.
var ErrStalled = errors.New("deliveries have stalled")

// ErrRate: messages come to the server so much later than they are due that it can't be said
// to take that rate.
var ErrRate = errors.New("the rate isn't taken")

// publisher publishes stamped messages to a server and follows where the clients are.
// Owned by one goroutine.
type publisher struct {
	control  *Control
	load     *Load
	sizes    Mixture
	stall    time.Duration
	next     uint64       // the number of the next message
	last     uint64       // Done when it last changed
	moved    int64        // and when that was
	progress func(uint64) // called with the number of messages that are done
	late     *hdrhistogram.Histogram

	add  func(seq uint64) []byte // adds message seq to the control connection, for its stamp
	done func() uint64           // how many messages, from 0 on, are where they have to go
}

// limit says when a phase ends: after so many messages, or so much time; zero is no limit,
// and with none nothing is published.
type limit struct {
	messages uint64
	duration time.Duration
	ended    func() bool // in place of these
}

// reached is told how many messages were published, and at what time since the first the
// next is: now with a window, when it is due with a rate.
func (l limit) reached(published uint64, at int64) bool {
	switch {
	case l.ended != nil:
		return l.ended()
	case l.messages > 0 && published >= l.messages:
		return true
	case l.duration > 0 && at >= int64(l.duration):
		return true
	}
	return l.messages == 0 && l.duration == 0
}

func (p *publisher) stamp(published int64) {
	putStamp(p.add(p.next), p.next, published)
	p.next++
}

// publishWindow keeps so many messages in flight: a message makes room for another when
// every client has it. It returns when the limit is reached, without waiting for the rest.
func (p *publisher) publishWindow(ctx context.Context, window int, until limit) error {
	first, began := p.next, now()
	p.moved = began
	for !until.reached(p.next-first, now()-began) {
		for p.next-p.done() < uint64(window) && !until.reached(p.next-first, now()-began) {
			p.stamp(now())
		}
		if err := p.control.flush(); err != nil {
			return err
		}
		if err := p.await(ctx, p.next-uint64(window)+1); err != nil {
			return err
		}
	}
	return p.control.flush()
}

// publishRate publishes so many messages a second. Each is stamped with the time at which
// it is due: when the publisher or the server's control connection is late, the latency
// has it (no coordinated omission). So all that are due within a duration go out, however
// long that takes, but for a lateness of more than stall, which ends it with ErrRate.
func (p *publisher) publishRate(ctx context.Context, rate float64, until limit) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	exactTimers()
	first, began := p.next, now()
	p.moved = began
	for {
		due := began + int64(float64(p.next-first)/rate*1e9)
		if until.reached(p.next-first, due-began) {
			return p.control.flush()
		}
		if err := p.awaitDue(ctx, due); err != nil {
			return err
		}
		late := now() - due
		if late > int64(p.stall) {
			return errors.Join(fmt.Errorf("%w: %d messages went to the server in %v, where %g a second were due",
				ErrRate, p.next-first, time.Duration(now()-began).Round(time.Millisecond), rate), p.control.flush())
		}
		record(p.late, late)
		p.stamp(due)
	}
}

// flushAt bounds what is put together while messages are due faster than they are sent,
// in bytes.
const flushAt = 256 << 10

// awaitDue waits until a message is due and until there is room for it. What was stamped
// before goes out first when there is time.
func (p *publisher) awaitDue(ctx context.Context, due int64) error {
	p.look()
	full := p.next-p.done() >= maxOutstanding/2
	if due <= now() && !full && len(p.control.buffer) < flushAt {
		return ctx.Err()
	}
	if err := p.control.flush(); err != nil {
		return err
	}
	if full {
		return p.await(ctx, p.next-maxOutstanding/2+1)
	}
	return pause(ctx, due)
}

// pause waits for a time of now. It looks at ctx ten times a second.
func pause(ctx context.Context, until int64) error {
	for at := now(); at < until; at = now() {
		if err := ctx.Err(); err != nil {
			return err
		}
		sleepUntil(min(until, at+int64(100*time.Millisecond)))
	}
	return ctx.Err()
}

// look asks how many messages every client has, and passes it on when that has changed.
func (p *publisher) look() uint64 {
	have := p.done()
	if have != p.last {
		p.last, p.moved = have, now()
		p.progress(have)
	}
	return have
}

// await waits until every client has come past the first done messages.
func (p *publisher) await(ctx context.Context, done uint64) error {
	timer := time.NewTicker(100 * time.Millisecond)
	defer timer.Stop()
	for {
		have := p.look()
		if int64(have-done) >= 0 { // done may be below zero when less than a window was published
			return nil
		}
		if now()-p.moved > int64(p.stall) {
			return fmt.Errorf("%w: %d of %d messages are at every client, and nothing came for %v",
				ErrStalled, have, p.next, p.stall)
		}
		select {
		case <-p.load.changed:
			if err := p.load.alive(); err != nil {
				return err
			}
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// drain waits for everything that was published.
func (p *publisher) drain(ctx context.Context) error {
	p.moved = now()
	return p.await(ctx, p.next)
}
