package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/busbar-ws/busbar/bench/proof"
	"github.com/busbar-ws/busbar/bench/runner"
)

// proofOf is a command that starts the daemon: add has the flags of its own.
func proofOf(name string, run func(context.Context, proof.Options) (*proof.Result, error), add func(*flag.FlagSet, *proof.Options)) command {
	return func(ctx context.Context, args []string, s streams) error {
		var o proof.Options
		f := flag.NewFlagSet("busbar-bench "+name, flag.ContinueOnError)
		f.SetOutput(s.out)
		f.StringVar(&o.Program, "busbar", "bin/busbar", "`program` of the daemon; make build makes bin/busbar")
		f.Func("args", "more `arguments` for the daemon, separated by spaces", func(v string) error { o.Args = strings.Fields(v); return nil })
		path := f.String("json", "", "write the result to a `file`")
		add(f, &o)
		if err := parseProof(f, args, &o); err != nil {
			return err
		}
		if err := writable("json", *path); err != nil {
			return err
		}
		b := newBar(s.err)
		o.Progress = b.show
		r, err := run(ctx, o)
		b.clear()
		if errors.Is(err, proof.ErrOptions) {
			return usagef("%v", err)
		}
		if err != nil {
			return err
		}
		if err := r.WriteTable(s.out); err != nil {
			return fmt.Errorf("printing the result: %w", err)
		}
		if *path != "" {
			if err := save(*path, struct {
				Machine runner.Machine `json:"machine"`
				Result  *proof.Result  `json:"result"`
			}{runner.ThisMachine(), r}); err != nil {
				return fmt.Errorf("-json: %w", err)
			}
		}
		if r.Failed != "" {
			return errors.New(r.Failed)
		}
		return nil
	}
}

func parseProof(f *flag.FlagSet, args []string, o *proof.Options) error {
	if len(args) > 0 && (args[0] == "-help" || args[0] == "--help" || args[0] == "-h") {
		f.Usage()
		return flag.ErrHelp
	}
	f.SetOutput(io.Discard) // mistakes are told in one line
	if err := f.Parse(args); err != nil {
		return usagef("%v; %s -help lists the flags", err, f.Name())
	}
	if f.NArg() > 0 {
		return usagef("%q: unexpected argument", f.Arg(0))
	}
	program, err := exec.LookPath(o.Program)
	if err == nil {
		o.Program, err = filepath.Abs(program)
	}
	if err != nil {
		return usagef("-busbar %s: there is no such program; make build makes bin/busbar", o.Program)
	}
	if o.NATSServer != "" {
		if o.NATSServer, err = filepath.Abs(o.NATSServer); err != nil {
			return err
		}
	}
	return nil
}

// list is a flag of several words, with commas.
func list(f *flag.FlagSet, to *[]string, name, usage string) {
	f.Func(name, usage, func(v string) error { *to = strings.Split(v, ","); return nil })
}

var (
	soak = proofOf("soak", proof.Soak, func(f *flag.FlagSet, o *proof.Options) {
		o.Policies = []string{"disconnect", "drop-oldest"}
		list(f, &o.Policies, "slow", "`policies` for slow clients: a daemon side by side for each (default disconnect,drop-oldest)")
		f.DurationVar(&o.Duration, "duration", time.Hour, "of the churn")
		f.IntVar(&o.Clients, "clients", 60, "that come and go, for each daemon; beside them a third as many stay all the time, and a tenth stop reading at times")
		f.IntVar(&o.Storm, "storm", 100, "clients that come all at once, and go all at once, every 30 s")
		f.Float64Var(&o.Rate, "rate", 15, "messages a second by HTTP, of 10 bytes to 1 MiB, to each daemon")
	})
	chaos = proofOf("chaos", proof.Chaos, func(f *flag.FlagSet, o *proof.Options) {
		list(f, &o.Only, "only", "`scenarios`, of kill, power, pause, port, full, read-only and lock, and of cluster-kill, cluster-cut, cluster-pause, cluster-full, cluster-restart, the same with nats- for cluster-; default all")
		f.StringVar(&o.NATSServer, "nats-server", "", "`program` of a NATS server, for the scenarios that begin with nats-")
		f.IntVar(&o.Clients, "clients", 0, "connections (100, with three nodes 12)")
		f.IntVar(&o.Rounds, "rounds", 10, "how often kill -9, and a fifth as often a power cut; of three nodes as many fail, each once")
		f.Float64Var(&o.Rate, "rate", 0, "messages a second, of which bodies have several (1000, with three nodes 1500)")
		f.IntVar(&o.Events, "events", 100_000, "changes that are published with three nodes at least")
		f.DurationVar(&o.Load, "load", 2*time.Second, "time under load before a disaster")
		f.DurationVar(&o.Pause, "pause", 30*time.Second, "time between SIGSTOP and SIGCONT; other faults of nodes last for a third of it")
		f.DurationVar(&o.Bound, "bound", 5*time.Second, "within which every client has to see that the server was killed")
	})
	logs = proofOf("logs", proof.Logs, func(f *flag.FlagSet, o *proof.Options) {
		f.StringVar(&o.NATSServer, "nats-server", "bin/nats-server", "`program` of a NATS server; scripts/chaos makes bin/nats-server")
		f.IntVar(&o.Clients, "clients", 1000, "connections to one server")
		f.IntVar(&o.Rounds, "rounds", 5, "of all logs, in turned order")
		f.IntVar(&o.Events, "events", 500, "changes in each round, for each log")
		f.Float64Var(&o.Rate, "rate", 50, "changes a second")
	})
)
