package main

import (
	"context"
	"strings"
	"time"

	"github.com/busbar-ws/busbar/bench/proof"
)

// chaos takes away what the daemon stands on.
func chaos(ctx context.Context, args []string, s streams) error {
	f := newProofFlags("chaos", s)
	var o proof.ChaosOptions
	only := f.set.String("only", "", "`scenarios`, of kill, power, pause, port, full, read-only and lock, and of cluster-kill, cluster-cut, cluster-pause, cluster-full, cluster-restart, the same with nats- for cluster-; default all")
	f.set.StringVar(&o.NATSServer, "nats-server", "", "`program` of a NATS server, for the scenarios that begin with nats-")
	f.set.IntVar(&o.Clients, "clients", 0, "connections (100, with three nodes 12)")
	f.set.IntVar(&o.Rounds, "rounds", 10, "how often kill -9, and a fifth as often a power cut")
	f.set.Float64Var(&o.Rate, "rate", 0, "messages a second (300, with three nodes 1500)")
	f.set.DurationVar(&o.Load, "load", 2*time.Second, "time under load before a disaster")
	f.set.DurationVar(&o.Pause, "pause", 30*time.Second, "time between SIGSTOP and SIGCONT")
	f.set.DurationVar(&o.Bound, "bound", 5*time.Second, "within which every client has to see that the server was killed")
	if err := f.parse(args); err != nil {
		return err
	}
	helper, err := self("helper")
	if err != nil {
		return err
	}
	o.Program, o.Args, o.Self = []string{f.program}, strings.Fields(f.args), helper
	if *only != "" {
		o.Only = strings.Split(*only, ",")
	}
	b := newBar(s.err)
	o.Progress = b.show
	r, err := proof.Chaos(ctx, o)
	b.clear()
	if err != nil {
		return proofErr(err)
	}
	return f.finish(s, r, r.Failed)
}
