package proof

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// ChaosOptions say what is taken away, and how often. Zero fields take the defaults named
// beside them.
type ChaosOptions struct {
	Program []string // the daemon and arguments that come first
	Args    []string // for the daemon, behind chaos' own
	// Self is this program and a word behind which RunHelper gets the rest of the command line:
	// some scenarios need another process, which mounts or locks what the daemon stands on.
	Self []string
	// NATSServer is the program of a NATS that the nodes don't run themselves; empty: there is none.
	NATSServer string

	Only    []string      // names of scenarios; default all
	Clients int           // default 100, with three nodes 12
	Rounds  int           // of kill -9; default 10
	Rate    float64       // messages a second; default 300, with three nodes 3000
	Events  int           // that are compared with three nodes at least; default 100,000
	Load    time.Duration // between two disasters; default 2 s
	Pause   time.Duration // between SIGSTOP and SIGCONT; default 30 s. Other faults of nodes last for a third of it
	Bound   time.Duration // within which a client has to see that the server is gone; default 5 s

	Progress func(what string, done, of int64) // may be nil

	nodesClients int // Clients and Rate with three nodes
	nodesRate    float64
}

func (o *ChaosOptions) defaults() {
	o.nodesClients, o.nodesRate = cmp.Or(o.Clients, 12), cmp.Or(o.Rate, 1500)
	for _, n := range []struct {
		v     *int
		usual int
	}{{&o.Clients, 100}, {&o.Rounds, 10}, {&o.Events, 100_000}} {
		if *n.v == 0 {
			*n.v = n.usual
		}
	}
	for _, d := range []struct {
		v     *time.Duration
		usual time.Duration
	}{{&o.Load, 2 * time.Second}, {&o.Pause, 30 * time.Second}, {&o.Bound, 5 * time.Second}} {
		if *d.v == 0 {
			*d.v = d.usual
		}
	}
	if o.Rate == 0 {
		o.Rate = 300
	}
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
}

func (o *ChaosOptions) validate() error {
	known := func(name string) bool {
		return slices.ContainsFunc(scenarios, func(s scenario) bool { return s.name == name })
	}
	for _, name := range o.Only {
		if !known(name) {
			return fmt.Errorf("%w: %q is no scenario", ErrOptions, name)
		}
	}
	switch {
	case len(o.Program) == 0 || len(o.Self) == 0:
		return fmt.Errorf("%w: no program", ErrOptions)
	case o.Clients < 1 || o.Rounds < 1 || o.Events < 1 || o.Load < 0 || o.Pause < 0 || o.Bound < 0 || o.Rate <= 0 || o.Rate > 10_000:
		return fmt.Errorf("%w: %d clients, %d rounds, %d events, load %v, pause %v, bound %v, %g messages a second: too little, or above 10000 messages", ErrOptions,
			o.Clients, o.Rounds, o.Events, o.Load, o.Pause, o.Bound, o.Rate)
	}
	return nil
}
