package main

import (
	"context"
	"errors"
	"time"

	"github.com/busbar-ws/busbar/bench"
)

func fanout(ctx context.Context, args []string, s streams) error {
	f := newFlags("fanout", s)
	f.oneTarget()
	load := f.fanout()
	if err := f.parse(args); err != nil {
		return err
	}
	b := newBar(s.err)
	o, err := f.options(b)
	if err != nil {
		return err
	}
	r, err := bench.Fanout(ctx, load.options(o))
	b.clear()
	if err != nil {
		return err
	}
	return f.publish(s, r, r.Failed)
}

func idle(ctx context.Context, args []string, s streams) error {
	f := newFlags("idle", s)
	f.oneTarget()
	settle := f.set.Duration("settle", 3*time.Second, "between connecting and measuring; 0: 3s")
	if err := f.parse(args); err != nil {
		return err
	}
	b := newBar(s.err)
	o, err := f.options(b)
	if err != nil {
		return err
	}
	var published error
	r, err := bench.Idle(ctx, bench.IdleOptions{Options: o, Settle: *settle, Measured: func(r *bench.IdleResult) {
		b.clear()
		published = f.publish(s, r, "")
	}})
	if err = errors.Join(err, published); err != nil {
		return err
	}
	if r.Failed != "" {
		return errors.New(r.Failed)
	}
	return nil
}

func storm(ctx context.Context, args []string, s streams) error {
	f := newFlags("storm", s)
	f.oneTarget()
	sessions := f.set.Bool("sessions", false, "clients bring the token of a session in a SQLite file, which Busbar looks up there the first time")
	if err := f.parse(args); err != nil {
		return err
	}
	if *sessions && f.target != "busbar" {
		return usagef("-sessions: %s has no sessions, -target busbar has", f.target)
	}
	if *sessions && f.token != "" {
		return usagef("-sessions and -token: clients bring one of the two")
	}
	b := newBar(s.err)
	o, err := f.options(b)
	if err != nil {
		return err
	}
	if *sessions {
		remove, err := withSession(ctx, &o)
		if err != nil {
			return err
		}
		defer remove()
	}
	r, err := bench.Storm(ctx, o)
	b.clear()
	if err != nil {
		return err
	}
	return f.publish(s, r, r.Failed)
}
