package loadgen

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/busbar-ws/busbar/bench/runner"
)

// ErrStalled: messages were published, and for a while no client got any further.
var ErrStalled = errors.New("deliveries have stalled")

// ErrRate: messages come to the server so much later than they are due that it can't be said
// to take that rate.
var ErrRate = errors.New("the rate isn't taken")

// Publisher publishes stamped messages to a server and follows where the clients are.
// Owned by one goroutine.
type Publisher struct {
	Sizes    Mixture
	Next     uint64       // the number of the next message
	Progress func(uint64) // called with the number of messages that are done
	Late     *hdrhistogram.Histogram
	Add      func(seq uint64) []byte // adds message seq to the control connection, for its stamp
	Done     func() uint64           // how many messages, from 0 on, are where they have to go

	control *runner.Control
	load    *Load
	stall   time.Duration
	last    uint64 // Done when it last changed
	moved   int64  // and when that was
}

// NewPublisher publishes messages to all clients of a load, and gives up when nothing has moved for
// as long as stall.
func NewPublisher(c *runner.Control, l *Load, sizes Mixture, stall time.Duration) *Publisher {
	return &Publisher{
		Sizes: sizes, Late: NewHistogram(), Progress: func(uint64) {}, control: c, load: l, stall: stall,
		Add: func(seq uint64) []byte { return c.Add(sizes.Of(seq)) }, Done: l.Done,
	}
}

// Limit says when a phase ends: after so many messages, or so much time; zero is no limit,
// and with none nothing is published.
type Limit struct {
	Messages uint64
	Duration time.Duration
	Ended    func() bool // in place of these
}

// reached is told how many messages were published, and at what time since the first the
// next is: now with a window, when it is due with a rate.
func (l Limit) reached(published uint64, at int64) bool {
	switch {
	case l.Ended != nil:
		return l.Ended()
	case l.Messages > 0 && published >= l.Messages:
		return true
	case l.Duration > 0 && at >= int64(l.Duration):
		return true
	}
	return l.Messages == 0 && l.Duration == 0
}

func (p *Publisher) stamp(published int64) {
	payload := p.Add(p.Next)
	if putStamp(payload, p.Next, published); p.control.Text() {
		copy(payload, appendHexStamp(nil, p.Next, published))
	}
	p.Next++
}

// Window keeps so many messages in flight: a message makes room for another when
// every client has it. It returns when the limit is reached, without waiting for the rest.
func (p *Publisher) Window(ctx context.Context, window int, until Limit) error {
	first, began := p.Next, Now()
	p.moved = began
	for !until.reached(p.Next-first, Now()-began) {
		for p.Next-p.Done() < uint64(window) && !until.reached(p.Next-first, Now()-began) {
			p.stamp(Now())
		}
		if err := p.control.Flush(); err != nil {
			return err
		}
		if err := p.await(ctx, p.Next-uint64(window)+1); err != nil {
			return err
		}
	}
	return p.control.Flush()
}

// Rate publishes so many messages a second. Each is stamped with the time at which
// it is due: when the publisher or the server's control connection is late, the latency
// has it (no coordinated omission). So all that are due within a duration go out, however
// long that takes, but for a lateness of more than stall, which ends it with ErrRate.
func (p *Publisher) Rate(ctx context.Context, rate float64, until Limit) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	exactTimers()
	first, began := p.Next, Now()
	p.moved = began
	for {
		due := began + int64(float64(p.Next-first)/rate*1e9)
		if until.reached(p.Next-first, due-began) {
			return p.control.Flush()
		}
		if err := p.awaitDue(ctx, due); err != nil {
			return err
		}
		late := Now() - due
		if late > int64(p.stall) {
			return errors.Join(fmt.Errorf("%w: %d messages went to the server in %v, where %g a second were due",
				ErrRate, p.Next-first, time.Duration(Now()-began).Round(time.Millisecond), rate), p.control.Flush())
		}
		record(p.Late, late)
		p.stamp(due)
	}
}

// flushAt bounds what is put together while messages are due faster than they are sent,
// in bytes.
const flushAt = 256 << 10

// awaitDue waits until a message is due and until there is room for it. What was stamped
// before goes out first when there is time.
func (p *Publisher) awaitDue(ctx context.Context, due int64) error {
	p.look()
	full := p.Next-p.Done() >= MaxOutstanding/2
	if due <= Now() && !full && p.control.Buffered() < flushAt {
		return ctx.Err()
	}
	if err := p.control.Flush(); err != nil {
		return err
	}
	if full {
		return p.await(ctx, p.Next-MaxOutstanding/2+1)
	}
	return Pause(ctx, due)
}

// look asks how many messages every client has, and passes it on when that has changed.
func (p *Publisher) look() uint64 {
	have := p.Done()
	if have != p.last {
		p.last, p.moved = have, Now()
		p.Progress(have)
	}
	return have
}

// await waits until every client has come past the first done messages.
func (p *Publisher) await(ctx context.Context, done uint64) error {
	timer := time.NewTicker(100 * time.Millisecond)
	defer timer.Stop()
	for {
		have := p.look()
		if int64(have-done) >= 0 { // done may be below zero when less than a window was published
			return nil
		}
		if Now()-p.moved > int64(p.stall) {
			return fmt.Errorf("%w: %d of %d messages are at every client, and nothing came for %v",
				ErrStalled, have, p.Next, p.stall)
		}
		select {
		case <-p.load.changed:
			if err := p.load.Alive(); err != nil {
				return err
			}
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Drain waits for everything that was published.
func (p *Publisher) Drain(ctx context.Context) error {
	p.moved = Now()
	return p.await(ctx, p.Next)
}
