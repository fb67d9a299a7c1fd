package main

import (
	"context"
	"time"

	"github.com/busbar-ws/busbar/bench"
	"github.com/busbar-ws/busbar/hub"
)

func rows(ctx context.Context, args []string, s streams) error {
	f := newFlags("rows", s)
	f.oneTarget()
	load := f.fanout()
	each := f.set.Int("rows", 100, "rows that each client subscribes to")
	subscribers := f.set.Int("subscribers", 3, "clients that each row has")
	settle := f.set.Duration("settle", 3*time.Second, "before memory is looked at: when connected, and when subscribed")
	if err := f.parse(args); err != nil {
		return err
	}
	if *each < 1 || *subscribers < 1 {
		return usagef("-rows %d, -subscribers %d: both at least 1", *each, *subscribers)
	}
	if f.target == "busbar" && *each > hub.DefaultSubscriptions {
		return usagef("-rows %d: Busbar lets a client subscribe to %d", *each, hub.DefaultSubscriptions)
	}
	b := newBar(s.err)
	o, err := f.options(b)
	if err != nil {
		return err
	}
	r, err := bench.Rows(ctx, bench.RowsOptions{FanoutOptions: load.options(o), Rows: *each, Subscribers: *subscribers, Settle: *settle})
	b.clear()
	if err != nil {
		return err
	}
	return f.publish(s, r, r.Failed)
}
