package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// FanoutOptions say how messages go to all clients.
type FanoutOptions struct {
	Options
	Size int // of payloads in bytes; at least MinSize. Default 128
	// Window is how many messages are in flight. With Rate it has no meaning.
	Window int
	Rate   float64 // messages a second; 0: as fast as the window allows
	// Messages or Duration, whichever is reached first, ends the measured phase. Zero is
	// no limit; one is required.
	Messages int
	Duration time.Duration
	WarmUp   time.Duration // before the measured phase; 0: one window of messages

	sizes Mixture // in place of Size, when it isn't empty
}

// ErrOptions: the options make no sense; nothing was started.
var ErrOptions = errors.New("options")

// mixture is sizes, or Size alone.
func (o *FanoutOptions) mixture() Mixture {
	if len(o.sizes) > 0 {
		return o.sizes
	}
	return Mixture{{Size: o.Size, Weight: 1}}
}

func (o *FanoutOptions) validate() error {
	if o.Size == 0 {
		o.Size = 128
	}
	if o.Window == 0 {
		o.Window = 1
	}
	switch {
	case o.Size < MinSize || o.Size > maxSize:
		return fmt.Errorf("%w: size: %d bytes; %d to 16 MiB", ErrOptions, o.Size, MinSize)
	case o.Window < 1 || o.Window > maxOutstanding/2:
		return fmt.Errorf("%w: window: %d messages; 1 to %d", ErrOptions, o.Window, maxOutstanding/2)
	case !(o.Rate >= 0 && o.Rate <= 1e9):
		return fmt.Errorf("%w: rate: %v messages a second; 0 to a billion", ErrOptions, o.Rate)
	case o.Messages < 0 || o.Duration < 0 || o.WarmUp < 0:
		return fmt.Errorf("%w: messages, duration and warm-up can't be negative", ErrOptions)
	case o.Messages == 0 && o.Duration == 0:
		return fmt.Errorf("%w: messages or duration is required: how long the run is", ErrOptions)
	}
	return nil
}

// Fanout measures what it costs a server to send messages to all clients. A result with
// Failed set is of a run in which something was lost, repeated, out of order or stalled;
// an error means that there is no result. When ctx ends the result is of what there was.
func Fanout(ctx context.Context, o FanoutOptions) (*FanoutResult, error) {
	o.defaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	s, err := startSession(ctx, o.Options)
	if err != nil {
		return nil, err
	}
	r, err := s.fanout(ctx, &o)
	if closing := s.close(); closing != nil && err == nil && r.Failed == "" {
		r.Failed = closing.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("fanout, %s: %w%s", o.Target.Name, err, s.server.errors.suffix())
	}
	r.Failed = s.explained(r.Failed)
	return r, nil
}

func (s *session) fanout(ctx context.Context, o *FanoutOptions) (*FanoutResult, error) {
	if err := s.connectAll(ctx); err != nil {
		return nil, err
	}
	p := s.publisher(o.mixture())
	trouble := s.warmUp(ctx, p, o)
	first := p.next
	before, err := s.measure(p.next)
	if err != nil {
		return nil, err
	}
	if trouble == nil {
		p.late.Reset()
		trouble = s.phase(ctx, p, o, limit{messages: uint64(o.Messages), duration: o.Duration}, "measuring")
	}
	after, err := s.measure(p.next)
	if err != nil {
		return nil, err
	}
	r := &FanoutResult{
		Target: o.Target.Name, Clients: o.Load.Clients, Size: o.Size, Rate: o.Rate,
		Workers: s.load.Workers(), Cores: Cores{Server: o.Server, Load: o.Load.Cores}, Namespace: o.Load.Namespace,
		Messages: p.next - first, Late: latencyOf(p.late),
	}
	if o.Rate == 0 {
		r.Window = o.Window
	}
	r.cost(before, after)
	return r, s.conclude(r, p, trouble)
}

// warmUp publishes messages that aren't measured, and has the clients record from there on.
func (s *session) warmUp(ctx context.Context, p *publisher, o *FanoutOptions) error {
	if err := s.load.run(ctx, p.sizes, ^uint64(0)); err != nil {
		return err
	}
	warm := limit{duration: o.WarmUp}
	if o.WarmUp == 0 {
		warm.messages = uint64(o.Window)
	}
	if err := s.phase(ctx, p, o, warm, "warming up"); err != nil {
		return err
	}
	return s.load.run(ctx, p.sizes, p.next)
}

// phase publishes until a limit is reached and waits until everything has arrived.
func (s *session) phase(ctx context.Context, p *publisher, o *FanoutOptions, until limit, name string) error {
	first, began := p.next, now()
	p.progress = func(done uint64) {
		if until.messages > 0 {
			s.opts.Progress(name, int64(done-first), int64(until.messages))
		} else {
			s.opts.Progress(name, min(now()-began, int64(until.duration)), int64(until.duration))
		}
	}
	var err error
	if o.Rate > 0 {
		err = p.publishRate(ctx, o.Rate, until)
	} else {
		err = p.publishWindow(ctx, o.Window, until)
	}
	if ctx.Err() != nil {
		// What is on its way is waited for: then the books can be closed.
		rest, cancel := context.WithTimeout(context.WithoutCancel(ctx), interruptedPatience)
		defer cancel()
		return errors.Join(ctx.Err(), p.control.flush(), p.drain(rest))
	}
	if err != nil && !errors.Is(err, ErrRate) {
		return err
	}
	if draining := p.drain(ctx); draining != nil {
		return draining
	}
	return err
}

// interruptedPatience bounds the wait for messages that are on their way after Ctrl-C.
const interruptedPatience = 3 * time.Second

// conclude asks the clients what they have seen, and decides whether the run counts.
func (s *session) conclude(r *FanoutResult, p *publisher, trouble error) error {
	ctx, cancel := context.WithTimeout(context.Background(), controlPatience)
	defer cancel()
	end := p.next
	if errors.Is(trouble, context.Canceled) {
		end = s.load.Done() // what is still on its way isn't lost
	}
	report, latency, _, err := s.load.Finish(ctx, end)
	if err != nil {
		return err
	}
	r.Deliveries = uint64(latency.TotalCount())
	r.Latency = latencyOf(latency)
	report.Latency, report.Upgrades = nil, nil
	r.Report = report
	if r.Deliveries > 0 {
		r.PerDelivery = float64(r.CPU.Server()) / float64(r.Deliveries)
		if r.Sends >= 0 {
			r.Sends /= float64(r.Deliveries)
		}
	}
	r.Memory, err = readMemory(s.server.pid())
	r.judge(trouble)
	return err
}
