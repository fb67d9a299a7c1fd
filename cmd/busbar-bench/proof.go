package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/busbar-ws/busbar/bench"
	"github.com/busbar-ws/busbar/bench/proof"
	"github.com/busbar-ws/busbar/bench/runner"
)

// proofOf is a command that starts the daemon: add has the flags of its own.
func proofOf[T any](name string, run func(context.Context, proof.Options) (T, error), publish func(*flags, streams, T) error, add func(*flags, *proof.Options)) command {
	return func(ctx context.Context, args []string, s streams) error {
		var o proof.Options
		f := &flags{set: flag.NewFlagSet("busbar-bench "+name, flag.ContinueOnError)}
		f.set.SetOutput(s.out)
		f.set.StringVar(&o.Program, "busbar", "bin/busbar", "`program` of the daemon; make build makes bin/busbar")
		f.set.Func("args", "more `arguments` for the daemon, separated by spaces", func(v string) error { o.Args = strings.Fields(v); return nil })
		f.set.StringVar(&f.json, "json", "", "write the result to a `file`")
		add(f, &o)
		if err := f.parseProof(args, &o); err != nil {
			return err
		}
		b := newBar(s.err)
		o.Progress = b.show
		found, err := run(ctx, o)
		b.clear()
		if errors.Is(err, proof.ErrOptions) {
			return usagef("%v", err)
		}
		if err != nil {
			return err
		}
		return publish(f, s, found)
	}
}

func (f *flags) parseProof(args []string, o *proof.Options) (err error) {
	if err := f.read(args); err != nil {
		return err
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
	return f.writable()
}

// publishProof prints what a proof has found, and writes it to the file of -json. Its error is what didn't hold.
func (f *flags) publishProof(s streams, r *proof.Result) error {
	if err := r.WriteTable(s.out); err != nil {
		return fmt.Errorf("printing the result: %w", err)
	}
	if f.json != "" {
		if err := save(f.json, struct {
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

func (f *flags) publishSections(s streams, sections []*bench.Section) error {
	return f.publish(s, bench.NewDocument(f.line, sections...))
}

// list is a flag of several words, with commas.
func (f *flags) list(to *[]string, name, usage string) {
	f.set.Func(name, usage, func(v string) error { *to = strings.Split(v, ","); return nil })
}

var (
	soak = proofOf("soak", proof.Soak, (*flags).publishProof, func(f *flags, o *proof.Options) {
		o.Policies = []string{"disconnect", "drop-oldest"}
		f.list(&o.Policies, "slow", "`policies` for slow clients: a daemon side by side for each (default disconnect,drop-oldest)")
		f.set.DurationVar(&o.Duration, "duration", time.Hour, "of the churn")
		f.set.IntVar(&o.Clients, "clients", 60, "that come and go, for each daemon; beside them a third as many stay all the time, and a tenth stop reading at times")
		f.set.IntVar(&o.Storm, "storm", 100, "clients that come all at once, and go all at once, every 30 s")
		f.set.Float64Var(&o.Rate, "rate", 15, "messages a second by HTTP, of 10 bytes to 1 MiB, to each daemon")
	})
	chaos = proofOf("chaos", proof.Chaos, (*flags).publishProof, func(f *flags, o *proof.Options) {
		f.list(&o.Only, "only", "`scenarios`, of kill, power, pause, port, full, read-only and lock, and of cluster-kill, cluster-cut, cluster-pause, cluster-full, cluster-restart, the same with nats- for cluster-; default all")
		f.set.StringVar(&o.NATSServer, "nats-server", "", "`program` of a NATS server, for the scenarios that begin with nats-")
		f.set.IntVar(&o.Clients, "clients", 0, "connections (100, with three nodes 12)")
		f.set.IntVar(&o.Rounds, "rounds", 10, "how often kill -9, and a fifth as often a power cut; of three nodes as many fail, each once")
		f.set.Float64Var(&o.Rate, "rate", 0, "messages a second, of which bodies have several (1000, with three nodes 1500)")
		f.set.IntVar(&o.Events, "events", 100_000, "changes that are published with three nodes at least")
		f.set.DurationVar(&o.Load, "load", 2*time.Second, "time under load before a disaster")
		f.set.DurationVar(&o.Pause, "pause", 30*time.Second, "time between SIGSTOP and SIGCONT; other faults of nodes last for a third of it")
		f.set.DurationVar(&o.Bound, "bound", 5*time.Second, "within which every client has to see that the server was killed")
	})
	logs = proofOf("logs", proof.Logs, (*flags).publishSections, func(f *flags, o *proof.Options) {
		f.set.StringVar(&o.NATSServer, "nats-server", "bin/nats-server", "`program` of a NATS server; scripts/chaos makes bin/nats-server")
		f.set.IntVar(&o.Clients, "clients", 1000, "connections to one server")
		f.set.StringVar(&f.html, "html", "", "write a report with charts to a `file`")
		f.set.IntVar(&o.Rounds, "rounds", 5, "of all logs, in turned order")
		f.set.IntVar(&o.Events, "events", 500, "changes in each round, for each log")
		f.set.Float64Var(&o.Rate, "rate", 50, "changes a second")
	})
	recovery = proofOf("recovery", proof.Recover, (*flags).publishSections, func(f *flags, o *proof.Options) {
		o.Crowds = []int{1000, 5000, 10_000}
		f.set.Func("clients", "`numbers` of connections, a run for each (default 1000,5000,10000)", func(v string) error {
			o.Crowds = nil
			for number := range strings.SplitSeq(v, ",") {
				n, err := strconv.Atoi(strings.TrimSpace(number))
				if err != nil || n < 1 {
					return fmt.Errorf("%q is no number of connections", number)
				}
				o.Crowds = append(o.Crowds, n)
			}
			return nil
		})
		f.set.StringVar(&f.html, "html", "", "write a report with charts to a `file`")
		f.set.Float64Var(&o.Rate, "rate", 5, "changes a second")
		f.set.Float64Var(&o.Return, "return", 2000, "clients a second that come back")
		f.set.IntVar(&o.Size, "size", 128, "bytes of a change's data")
		f.set.DurationVar(&o.Load, "steady", 3*time.Second, "from the first change to the kill")
	})
)
