package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"
)

// LoopsOptions say how a server with more loops is compared to one with fewer.
type LoopsOptions struct {
	Options           // without Target
	Targets  []Target // the same server with different numbers of loops; the first is the base
	Size     int      // of messages in bytes
	Messages int      // measured in each run, one at a time. What a socket buffers unread has to hold them
	Rounds   int
}

// LoopsResult is how much faster a server is with more loops.
type LoopsResult struct {
	Clients  int          `json:"clients"`
	Size     int          `json:"size"`
	Messages int          `json:"messages"`
	Runs     []LoopsRun   `json:"runs"`
	Summary  []LoopsSpeed `json:"summary"`
	Failed   string       `json:"failed,omitempty"`
}

// LoopsRun is one target in one round.
type LoopsRun struct {
	Target    string  `json:"target"`
	Cores     []int   `json:"cores,omitempty"` // of the server; none: any
	Round     int     `json:"round"`
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"deliveries_per_second"`
}

// LoopsSpeed is one target over all rounds.
type LoopsSpeed struct {
	Target    string `json:"target"`
	Cores     []int  `json:"cores,omitempty"`
	PerSecond Spread `json:"deliveries_per_second"`
	Speedup   Spread `json:"speedup"` // to the first target's deliveries per second of the same round
}

// Loops measures how long a server takes for messages to all clients while the load
// generator stands still: the workers are stopped, what the clients get stays in their
// sockets' buffers, and is read and checked afterwards. So the cores are the server's alone.
func Loops(ctx context.Context, o LoopsOptions) (*LoopsResult, error) {
	o.defaults()
	f := FanoutOptions{Options: o.Options, Size: o.Size, Messages: o.Messages}
	if err := f.validate(); err != nil {
		return nil, err
	}
	if len(o.Targets) == 0 || o.Rounds < 1 || o.Messages < 1 {
		return nil, fmt.Errorf("%w: %d targets, %d rounds, %d messages: at least 1", ErrOptions, len(o.Targets), o.Rounds, o.Messages)
	}
	if held := o.Messages * (f.Size + skbOverhead); held > heldUnread {
		return nil, fmt.Errorf("%w: %d messages of %d bytes may not fit into a socket's buffer unread", ErrOptions, o.Messages, f.Size)
	}
	r := &LoopsResult{Clients: o.Load.Clients, Size: f.Size, Messages: o.Messages}
	for round := range o.Rounds {
		for _, t := range o.Targets {
			one := f
			one.Target = t
			if len(t.Cores) > 0 {
				one.Server = t.Cores
			}
			one.Progress = func(phase string, done, of int64) {
				o.Progress(fmt.Sprintf("round %d/%d, %s: %s", round+1, o.Rounds, t.Name, phase), done, of)
			}
			seconds, err := loopsRun(ctx, one)
			if ctx.Err() != nil {
				r.summarise(o.Targets)
				return r, nil
			}
			if err != nil {
				r.Failed = fmt.Sprintf("round %d, %s: %v", round+1, t.Name, err)
				r.summarise(o.Targets)
				return r, nil
			}
			deliveries := float64(o.Messages * o.Load.Clients)
			r.Runs = append(r.Runs, LoopsRun{Target: t.Name, Cores: one.Server, Round: round, Seconds: seconds, PerSecond: deliveries / seconds})
		}
	}
	r.summarise(o.Targets)
	return r, nil
}

// A receiving socket that nobody reads takes about 64 KiB before the sender is told to
// stop (tcp_rmem's default), the kernel's own bytes for each packet included.
const (
	heldUnread  = 64 << 10
	skbOverhead = 1280
)

func loopsRun(ctx context.Context, o FanoutOptions) (seconds float64, err error) {
	s, err := startSession(ctx, o.Options)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.connectAll(ctx); err != nil {
		return 0, err
	}
	p := s.publisher(o.mixture())
	if err := s.warmUp(ctx, p, &o); err != nil {
		return 0, err
	}
	took, err := s.whileStopped(ctx, p, o.Messages)
	if err != nil {
		return 0, err
	}
	if err := p.drain(ctx); err != nil {
		return 0, err
	}
	report, _, _, err := s.load.Finish(ctx, p.next)
	if err == nil && report.Any() {
		err = fmt.Errorf("of %d clients: %s; %s", o.Load.Clients, report.Faults, report.Error)
	}
	return took.Seconds(), err
}

// whileStopped publishes messages one at a time, each when the server says that it has
// sent the one before it to all, and no worker runs meanwhile.
func (s *session) whileStopped(ctx context.Context, p *publisher, messages int) (time.Duration, error) {
	if err := s.load.signal(syscall.SIGSTOP); err != nil {
		return 0, err
	}
	defer func() { _ = s.load.signal(syscall.SIGCONT) }()
	before, err := s.server.control.Stats()
	if err != nil {
		return 0, err
	}
	began := now()
	for i := range messages {
		p.stamp(now())
		if err := p.control.flush(); err != nil {
			return 0, err
		}
		due := before.Deliveries + int64((i+1)*s.opts.Load.Clients)
		if err := s.awaitSent(ctx, due); err != nil {
			return 0, err
		}
		s.opts.Progress("measuring", int64(i+1), int64(messages))
	}
	return time.Duration(now() - began), nil
}

// awaitSent asks the server every 200 µs how many deliveries it has made; a message takes
// it many milliseconds.
func (s *session) awaitSent(ctx context.Context, deliveries int64) error {
	end := now() + int64(s.opts.Stall)
	for {
		stats, err := s.server.control.Stats()
		switch {
		case err != nil:
			return err
		case stats.Deliveries >= deliveries:
			return nil
		case now() > end:
			return fmt.Errorf("%w: %d of %d deliveries are with the kernel", ErrStalled, stats.Deliveries, deliveries)
		}
		if err := pause(ctx, now()+int64(200*time.Microsecond)); err != nil {
			return err
		}
	}
}

// signal sends a signal to every worker.
func (l *Load) signal(sig syscall.Signal) error {
	for _, w := range l.workers {
		if err := w.cmd.Process.Signal(sig); err != nil {
			return fmt.Errorf("sending %v to a worker: %w", sig, err)
		}
	}
	return nil
}

func (r *LoopsResult) summarise(targets []Target) {
	values := func(target string) []float64 {
		rounds := make([]float64, len(r.Runs))
		for _, run := range r.Runs {
			if run.Target == target {
				rounds[run.Round] = run.PerSecond
			}
		}
		return rounds
	}
	for _, t := range targets {
		all := values(t.Name)
		r.Summary = append(r.Summary, LoopsSpeed{
			Target:    t.Name,
			Cores:     t.Cores,
			Speedup:   spreadOf(ratios(all, values(targets[0].Name))),
			PerSecond: spreadOf(slices.DeleteFunc(all, func(v float64) bool { return v == 0 })),
		})
	}
}
