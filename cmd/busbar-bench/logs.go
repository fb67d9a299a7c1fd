package main

import (
	"context"
	"strings"

	"github.com/busbar-ws/busbar/bench/proof"
)

// logs compares what delivering costs with each of the change logs.
func logs(ctx context.Context, args []string, s streams) error {
	f := newProofFlags("logs", s)
	var o proof.LogCostOptions
	f.set.StringVar(&o.NATSServer, "nats-server", "bin/nats-server", "`program` of a NATS server; scripts/chaos makes bin/nats-server")
	f.set.IntVar(&o.Clients, "clients", 1000, "connections to one server")
	f.set.IntVar(&o.Rounds, "rounds", 5, "of all logs, in turned order")
	f.set.IntVar(&o.Events, "events", 500, "changes in each round, for each log")
	f.set.Float64Var(&o.Rate, "rate", 50, "changes a second")
	if err := f.parse(args); err != nil {
		return err
	}
	helper, err := self("helper")
	if err != nil {
		return err
	}
	o.Program, o.Args, o.Self = []string{f.program}, strings.Fields(f.args), helper
	b := newBar(s.err)
	o.Progress = b.show
	r, err := proof.LogCosts(ctx, o)
	b.clear()
	if err != nil {
		return proofErr(err)
	}
	return f.finish(s, r, "")
}
