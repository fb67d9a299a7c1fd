package main

import (
	"context"
	"time"

	"github.com/busbar-ws/busbar/bench"
)

func presence(ctx context.Context, args []string, s streams) error {
	f := newFlags("presence", s)
	f.oneTarget()
	p := bench.PresenceOptions{}
	f.set.Float64Var(&p.Senders, "senders", 0.1, "`share` of the clients that send, up to 1")
	f.set.Float64Var(&p.Rate, "rate", 100, "messages a second of all senders together")
	f.set.IntVar(&p.Size, "size", 128, "bytes of a message as it is sent")
	f.set.DurationVar(&p.Duration, "duration", 5*time.Second, "that is measured")
	f.set.DurationVar(&p.WarmUp, "warm-up", time.Second, "before measuring")
	f.set.IntVar(&p.Leave, "leave", 0, "clients that leave at once in the end")
	if err := f.parse(args); err != nil {
		return err
	}
	if p.Senders <= 0 || p.Rate <= 0 || p.Size == 0 || p.Duration <= 0 {
		return usagef("-senders, -rate, -size and -duration must be above 0")
	}
	b := newBar(s.err)
	var err error
	if p.Options, err = f.options(b); err != nil {
		return err
	}
	r, err := bench.Presence(ctx, p)
	b.clear()
	if err != nil {
		return err
	}
	return f.publish(s, r, r.Failed)
}
