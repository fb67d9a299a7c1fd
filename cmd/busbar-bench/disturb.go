package main

import (
	"context"
	"fmt"
	"time"

	"github.com/busbar-ws/busbar/bench"
)

// disturbFlags are a fan-out during which clients stall, come and leave.
type disturbFlags struct {
	*shared
	load    *fanoutFlags
	sizes   string
	stalled percent
	churn   float64
	rounds  int
	policy  string
	storm   int
	rate    int // of accepting, Busbar's
	burst   int
	lag     time.Duration
	bytes   int
}

func newDisturb(name string, s streams) *disturbFlags {
	f := &disturbFlags{shared: newFlags(name, s)}
	f.oneTarget()
	if name == "rush" {
		f.load = f.fanoutAtRate()
	} else {
		f.load = f.fanout()
	}
	f.preset("duration", "10s")
	f.set.StringVar(&f.policy, "policy", "disconnect", "of Busbar, for clients that don't read: disconnect or drop-oldest")
	f.set.DurationVar(&f.lag, "lag-time", 0, "of Busbar: how long a client may take nothing; 0: its default, 5s")
	f.set.IntVar(&f.bytes, "lag-bytes", 0, "of Busbar: how many bytes may wait for a client; 0: its default, 5 MiB")
	return f
}

// preset gives a flag that all fan-outs have another default.
func (f *disturbFlags) preset(name, value string) {
	v := f.set.Lookup(name)
	_ = v.Value.Set(value)
	v.DefValue = value
}

func (f *disturbFlags) addStalled() {
	f.stalled = 0.01
	f.set.Var(&f.stalled, "stalled", "`share` of the clients that stop reading, such as 1% or 0.01; at most 25%")
}

func (f *disturbFlags) addChurn(usual float64) {
	f.set.Float64Var(&f.churn, "churn", usual, "clients a second that leave, half with Close and half with RST, and that come")
}

func (f *disturbFlags) addRounds() {
	f.set.IntVar(&f.rounds, "rounds", 3, "how often it is measured without and with it")
}

// scenario is one of package bench's.
type scenario func(context.Context, bench.DisturbOptions) (*bench.DisturbResult, error)

func (f *disturbFlags) run(ctx context.Context, args []string, s streams, do scenario) error {
	if err := f.parse(args); err != nil {
		return err
	}
	if f.set.Lookup("rounds") != nil && f.rounds < 1 {
		return usagef("-rounds %d: at least 1", f.rounds)
	}
	if f.sizes != "" && f.given("size") {
		return usagef("-size has no meaning beside -sizes, which is %s here; -sizes %d:1 is that size alone", f.sizes, f.load.size)
	}
	if f.policy != "disconnect" && f.policy != "drop-oldest" {
		return usagef("-policy %q: disconnect or drop-oldest", f.policy)
	}
	if f.lag < 0 || f.bytes < 0 {
		return usagef("-lag-time and -lag-bytes can't be negative")
	}
	f.busbar = []string{"-policy=" + f.policy, fmt.Sprintf("-lag-time=%v", f.lag), fmt.Sprintf("-lag-bytes=%d", f.bytes)}
	if f.storm > 0 {
		f.busbar = append(f.busbar, fmt.Sprintf("-accept-rate=%d", f.rate), fmt.Sprintf("-accept-burst=%d", f.burst))
	}
	d := bench.DisturbOptions{Stalled: float64(f.stalled), Churn: f.churn, Storm: f.storm, Rounds: f.rounds}
	var err error
	if f.sizes != "" {
		if d.Sizes, err = bench.ParseMixture(f.sizes); err != nil {
			return err
		}
	}
	b := newBar(s.err)
	o, err := f.options(b)
	if err != nil {
		return err
	}
	d.FanoutOptions = f.load.options(o)
	r, err := do(ctx, d)
	b.clear()
	if err != nil {
		return err
	}
	return f.publish(s, r, r.Failed)
}

func slow(ctx context.Context, args []string, s streams) error {
	f := newDisturb("slow", s)
	f.addStalled()
	f.addRounds()
	return f.run(ctx, args, s, bench.Slow)
}

func churn(ctx context.Context, args []string, s streams) error {
	f := newDisturb("churn", s)
	f.preset("rate", "100")
	f.addChurn(50)
	f.addRounds()
	return f.run(ctx, args, s, bench.Churn)
}

func rush(ctx context.Context, args []string, s streams) error {
	f := newDisturb("rush", s)
	f.preset("clients", "500")
	f.preset("rate", "100")
	f.preset("duration", "5s")
	f.set.IntVar(&f.storm, "storm", 15000, "clients that connect as fast as they can, and leave as soon as they are connected")
	f.set.IntVar(&f.rate, "accept-rate", 2000, "of Busbar: connections a second that a loop that is behind accepts; -1: no limit")
	f.set.IntVar(&f.burst, "accept-burst", 200, "of Busbar: connections that a loop that is behind accepts at once")
	f.addRounds()
	return f.run(ctx, args, s, bench.Rush)
}

func mixed(ctx context.Context, args []string, s streams) error {
	f := newDisturb("mixed", s)
	f.preset("rate", "50")
	f.preset("duration", "20s")
	f.set.StringVar(&f.sizes, "sizes", "128:70,512:20,2048:8,16384:2", "`SIZE:WEIGHT,…` of the messages, in bytes; in place of -size")
	f.addStalled()
	f.addChurn(50)
	return f.run(ctx, args, s, bench.Mixed)
}
