package main

import (
	"context"
	"strings"
	"time"

	"github.com/busbar-ws/busbar/bench/proof"
)

// soak is an hour of clients that come and go, or as long as one likes.
func soak(ctx context.Context, args []string, s streams) error {
	f := newProofFlags("soak", s)
	var o proof.SoakOptions
	f.set.DurationVar(&o.Duration, "duration", time.Hour, "of the churn")
	policies := f.set.String("slow", "disconnect,drop-oldest", "`policies` for slow clients: a daemon side by side for each")
	f.set.IntVar(&o.Steady, "steady", 20, "clients that stay from the beginning to the end, for each daemon")
	f.set.IntVar(&o.Churners, "churners", 60, "clients that come and go")
	f.set.IntVar(&o.Limpers, "limpers", 6, "clients that stop reading at times")
	f.set.IntVar(&o.Storm, "storm", 100, "clients that come all at once, and go all at once")
	f.set.DurationVar(&o.Storms, "storms", 30*time.Second, "time between two storms")
	f.set.Float64Var(&o.Rate, "rate", 15, "messages a second by HTTP, of 10 bytes to 1 MiB, to each daemon")
	f.set.DurationVar(&o.Every, "every", 5*time.Second, "time between two samples")
	f.set.DurationVar(&o.Settle, "settle", 2*time.Minute, "how long all may take to be back at the start when the last client has left")
	if err := f.parse(args); err != nil {
		return err
	}
	o.Program, o.Args, o.Policies = []string{f.program}, strings.Fields(f.args), strings.Split(*policies, ",")
	b := newBar(s.err)
	o.Progress = b.show
	r, err := proof.Soak(ctx, o)
	b.clear()
	if err != nil {
		return proofErr(err)
	}
	return f.finish(s, r, r.Failed)
}
