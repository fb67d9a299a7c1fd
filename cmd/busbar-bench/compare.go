package main

import (
	"context"
	"slices"
	"strings"

	"github.com/busbar-ws/busbar/bench"
)

func compare(ctx context.Context, args []string, s streams) error {
	f := newFlags("compare", s)
	load := f.fanout()
	targets := f.set.String("targets", "busbar,raw,raw-batch", "`names` of the servers, as for -target of fanout")
	rounds := f.set.Int("rounds", 5, "how often each server is measured")
	base := f.set.String("base", "", "the `name` that the others are divided by; default raw, or raw-batch with -window above 1")
	if err := f.parse(args); err != nil {
		return err
	}
	if *rounds < 1 {
		return usagef("-rounds %d: at least 1", *rounds)
	}
	if f.given("loops") && !slices.ContainsFunc(strings.Split(*targets, ","), func(t string) bool { return strings.TrimSpace(t) == "busbar" }) {
		return usagef("-loops is for the target busbar, which isn't among %s", *targets)
	}
	resolved, err := f.resolveAll(*targets)
	if err != nil {
		return err
	}
	b := newBar(s.err)
	o, err := f.options(b)
	if err != nil {
		return err
	}
	c, err := bench.Compare(ctx, bench.CompareOptions{
		FanoutOptions: load.options(o), Targets: resolved, Rounds: *rounds, Base: *base,
	})
	b.clear()
	if err != nil {
		return err
	}
	failed := ""
	if c.Failed() {
		failed = "some rounds failed"
	}
	return f.publish(s, c, failed)
}
