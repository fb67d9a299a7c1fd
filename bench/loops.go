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
	// Processes, 2 or more, are also measured: so many of the first target at once, each on a
	// core of its own, where there are so many, with its part of the clients, and in step, as
	// loops are: the next message goes out when all have sent the one before. They share
	// nothing, so this is what the cores of the machine give together; 0: not measured.
	Processes int
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
	contests, err := o.contests(f)
	if err != nil {
		return nil, err
	}
	r := &LoopsResult{Clients: o.Load.Clients, Size: f.Size, Messages: o.Messages}
	defer r.summarise(contests)
	for round := range o.Rounds {
		for _, c := range contests {
			c.servers[0].Progress = func(phase string, done, of int64) {
				o.Progress(fmt.Sprintf("round %d/%d, %s: %s", round+1, o.Rounds, c.name, phase), done, of)
			}
			seconds, err := loopsRun(ctx, c.servers)
			if ctx.Err() != nil {
				return r, nil
			}
			if err != nil {
				r.Failed = fmt.Sprintf("round %d, %s: %v", round+1, c.name, err)
				return r, nil
			}
			deliveries := float64(o.Messages * o.Load.Clients)
			r.Runs = append(r.Runs, LoopsRun{Target: c.name, Cores: c.cores, Round: round, Seconds: seconds, PerSecond: deliveries / seconds})
		}
	}
	return r, nil
}

// contest is what is measured in each round: one server, or several at once.
type contest struct {
	name    string
	cores   []int
	servers []FanoutOptions
}

func (o *LoopsOptions) contests(f FanoutOptions) ([]contest, error) {
	contests := make([]contest, 0, len(o.Targets)+1)
	for _, t := range o.Targets {
		one := f
		one.Target = t
		if len(t.Cores) > 0 {
			one.Server = t.Cores
		}
		contests = append(contests, contest{t.Name, one.Server, []FanoutOptions{one}})
	}
	if o.Processes == 0 {
		return contests, nil
	}
	n := o.Processes
	if n < 2 || n > o.Load.Clients {
		return nil, fmt.Errorf("%w: %d processes at once with %d clients: at least 2, and a client for each", ErrOptions, n, o.Load.Clients)
	}
	cores := FirstCores(n)
	apart := contest{name: fmt.Sprintf("%s, %d processes", o.Targets[0].Name, n), cores: cores}
	for i := range n {
		one := f
		one.Target, one.Server = o.Targets[0], nil
		if len(cores) > 0 {
			one.Server = cores[i : i+1]
		}
		one.Load.Clients = f.Load.Clients*(i+1)/n - f.Load.Clients*i/n
		one.Progress = func(string, int64, int64) {} // the first one's stands for all
		apart.servers = append(apart.servers, one)
	}
	return append(contests, apart), nil
}

// A receiving socket that nobody reads takes about 64 KiB before the sender is told to
// stop (tcp_rmem's default), the kernel's own bytes for each packet included.
const (
	heldUnread  = 64 << 10
	skbOverhead = 1280
)

// loopsRun measures servers at the same time, and returns how long it took the slowest.
func loopsRun(ctx context.Context, servers []FanoutOptions) (seconds float64, err error) {
	running := make([]*loopsServer, len(servers))
	for i := range servers {
		o := &servers[i]
		s, err := startSession(ctx, o.Options)
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, s.close()) }()
		if err := s.connectAll(ctx); err != nil {
			return 0, err
		}
		running[i] = &loopsServer{session: s, publisher: s.publisher(o.mixture()), messages: o.Messages}
		if err := s.warmUp(ctx, running[i].publisher, o); err != nil {
			return 0, err
		}
	}
	took, err := whileStopped(ctx, running)
	if err != nil {
		return 0, err
	}
	for _, r := range running {
		if err := r.check(ctx); err != nil {
			return 0, err
		}
	}
	return took.Seconds(), nil
}

// loopsServer is a server whose clients are connected. Owned by one goroutine at a time.
type loopsServer struct {
	*session
	publisher *publisher
	messages  int
	due       int64 // deliveries when it has sent what was published
}

// check has the clients read what they were sent.
func (r *loopsServer) check(ctx context.Context) error {
	if err := r.publisher.drain(ctx); err != nil {
		return err
	}
	report, _, _, err := r.load.Finish(ctx, r.publisher.next)
	if err == nil && report.Any() {
		err = fmt.Errorf("of %d clients: %s; %s", r.opts.Load.Clients, report.Faults, report.Error)
	}
	return err
}

// whileStopped has messages go out one at a time, to the clients of all servers at once, each
// when the servers say that they have sent the one before it, and no worker runs meanwhile.
func whileStopped(ctx context.Context, running []*loopsServer) (time.Duration, error) {
	for _, r := range running {
		if err := r.load.signal(syscall.SIGSTOP); err != nil {
			return 0, err
		}
		defer func() { _ = r.load.signal(syscall.SIGCONT) }()
		before, err := r.server.control.Stats()
		if err != nil {
			return 0, err
		}
		r.due = before.Deliveries
	}
	first := running[0]
	failed := make(chan error, len(running))
	began := now()
	for i := range first.messages {
		for _, r := range running {
			go func() { failed <- r.deliver(ctx) }()
		}
		var err error
		for range running {
			err = errors.Join(err, <-failed)
		}
		if err != nil {
			return 0, err
		}
		first.opts.Progress("measuring", int64(i+1), int64(first.messages))
	}
	return time.Duration(now() - began), nil
}

// deliver publishes a message and waits until the server has sent it.
func (r *loopsServer) deliver(ctx context.Context) error {
	r.publisher.stamp(now())
	if err := r.server.control.flush(); err != nil {
		return err
	}
	r.due += int64(r.opts.Load.Clients)
	return r.awaitSent(ctx, r.due)
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

func (r *LoopsResult) summarise(contests []contest) {
	values := func(name string) []float64 {
		rounds := make([]float64, len(r.Runs))
		for _, run := range r.Runs {
			if run.Target == name {
				rounds[run.Round] = run.PerSecond
			}
		}
		return rounds
	}
	for _, c := range contests {
		all := values(c.name)
		r.Summary = append(r.Summary, LoopsSpeed{
			Target:    c.name,
			Cores:     c.cores,
			Speedup:   spreadOf(ratios(all, values(contests[0].name))),
			PerSecond: spreadOf(slices.DeleteFunc(all, func(v float64) bool { return v == 0 })),
		})
	}
}
