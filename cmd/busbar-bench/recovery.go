package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/busbar-ws/busbar/bench"
	"github.com/busbar-ws/busbar/bench/proof"
)

// recovery measures how clients come back that have lost their server.
func recovery(ctx context.Context, args []string, s streams) error {
	p := newProofFlags("recovery", s)
	var o proof.RecoveryOptions
	clients := p.set.String("clients", "1000,5000,10000", "`numbers` of connections, a run for each")
	p.set.Float64Var(&o.Rate, "rate", 5, "changes a second")
	p.set.Float64Var(&o.Return, "return", 2000, "clients a second that come back")
	p.set.IntVar(&o.Size, "size", 128, "bytes of a change's data")
	p.set.DurationVar(&o.Steady, "steady", 3*time.Second, "from the first change to the kill")
	html := p.set.String("html", "", "write a report with charts to a `file`")
	if err := p.parse(args); err != nil {
		return err
	}
	if err := writable("html", *html); err != nil {
		return err
	}
	for number := range strings.SplitSeq(*clients, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(number))
		if err != nil || n < 1 {
			return usagef("-clients %s: %q is no number of connections", *clients, number)
		}
		o.Clients = append(o.Clients, n)
	}
	var err error
	if o.Worker, err = self("worker"); err != nil {
		return err
	}
	o.Program, o.Args = []string{p.program}, strings.Fields(p.args)
	b := newBar(s.err)
	o.Progress = b.show
	section, err := proof.Recover(ctx, o)
	b.clear()
	if err != nil {
		return proofErr(err)
	}
	f := flags{json: p.json, html: *html}
	return f.publish(s, bench.NewDocument(strings.Join(append([]string{p.set.Name()}, args...), " "), section))
}
