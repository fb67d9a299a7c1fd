package bench

import (
	"context"
	"fmt"
	"slices"
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

	Interrupted bool `json:"interrupted,omitempty"` // before every round was there
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
				r.Interrupted = true
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
