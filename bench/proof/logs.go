package proof

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/busbar-ws/busbar/bench"
	"github.com/busbar-ws/busbar/bench/loadgen"
	"github.com/busbar-ws/busbar/bench/runner"
)

// audience is a server's clients that are given numbered changes, and the publisher of
// these. Owned by one goroutine, but for publish, which may have its own.
type audience struct {
	node *node
	load *loadgen.Load
	r    *bench.Result
	sent atomic.Uint64 // changes that were acknowledged
}

func (s *stage) newAudience(ctx context.Context, clients int, r *bench.Result) (*audience, error) {
	token, err := s.token(ctx, "client")
	if err != nil {
		return nil, err
	}
	p := bench.Default()
	p.Clients, p.Rate, p.Duration, p.Sizes = clients, s.o.Rate, s.o.Load, loadgen.Size(s.o.Size)
	p.Target.Name, p.ServerCores, p.LoadCores = "busbar", nil, nil
	load, err := loadgen.Start(loadgen.Options{Clients: clients, Pace: p.Pace, Token: token, Stall: p.Stall, Changes: true}, nil)
	if err != nil {
		return nil, err
	}
	if _, err := load.Connect(ctx, s.nodes[0].ws, nil); err != nil {
		load.Close()
		return nil, err
	}
	p.Workers = load.Workers()
	r.Profile = p
	return &audience{node: s.nodes[0], load: load, r: r}, nil
}

// publish goes on until so many changes are acknowledged or ctx ends. Each is published until it is: its op id has it
// applied once. What is late isn't made up for.
func (a *audience) publish(ctx context.Context, until uint64) error {
	tick := time.NewTicker(time.Duration(float64(time.Second) / a.r.Profile.Rate))
	defer tick.Stop()
	for n := a.sent.Load(); n < until; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		body := loadgen.AppendChange(nil, n, loadgen.Now(), a.r.Profile.Sizes.Of(n))
		err := poll(ctx, 4*patience, 5*time.Millisecond, func() (bool, error) {
			// What was begun is ended: it may be in the log already.
			_, err := a.node.call(context.WithoutCancel(ctx), "POST", "/v1/changes", mimeJSON, body)
			if statusOf(err) != 0 {
				return false, err
			}
			return err == nil, nil
		})
		switch {
		case ctx.Err() != nil && err != nil:
			return nil
		case err != nil:
			return err
		}
		a.sent.Store(n + 1)
	}
	return nil
}

// exact waits until every client has all changes that are acknowledged by now.
func (a *audience) exact(ctx context.Context) error {
	changes := a.sent.Load()
	err := poll(ctx, 4*patience, time.Millisecond, func() (bool, error) { return a.load.Done() >= changes, a.load.Alive() })
	if err != nil {
		return wronged("a client has %d of %d changes: %w", a.load.Done(), changes, err)
	}
	return nil
}

// logCost is what a publisher of single changes, and delivering them to clients of one server, cost with a log in one
// round. What the log costs is the difference with one client: with many, the sooner a publisher is answered, the more
// changes go out together, which costs less than the log does.
type logCost struct {
	p50, p99 float64 // ns from publishing to a client
	server   float64 // ns of the server's CPU for each delivery
	others   float64 // of the other nodes and NATS servers, for each change
	alone    float64 // ns of the server's CPU for each change, to one client
	sent     uint64  // changes so far
}

var logLayouts = []struct {
	name   string
	args   []string
	layout layout
}{
	{"memory", []string{"-log", "memory"}, layout{nodes: 1}},
	{"disk", []string{"-log", "disk"}, layout{nodes: 1}},
	{"nats, inside of three nodes", nil, layout{nodes: clusterNodes}},
	{"nats, a cluster of three servers", nil, layout{nodes: clusterNodes, external: true}},
}

// logShare is of the server's CPU, above which a log is said to cost something.
const logShare = 0.05

// What is said of the log, whose cost of a change is given, is of each round's own.
var logFigures = []struct {
	name, unit string
	of         func(c logCost, log, clients float64) float64
}{
	{"delivery_p50", bench.Nanoseconds, func(c logCost, _, _ float64) float64 { return c.p50 }},
	{"delivery_p99", bench.Nanoseconds, func(c logCost, _, _ float64) float64 { return c.p99 }},
	{"cpu_per_delivery", bench.Nanoseconds, func(c logCost, _, _ float64) float64 { return c.server }},
	{"log_cpu_per_change", bench.Nanoseconds, func(_ logCost, log, _ float64) float64 { return log }},
	{"log_share_of_cpu", bench.PerOne, func(c logCost, log, clients float64) float64 { return log / (c.server * clients) }},
	{"clients_with_log_share_under_0.05", bench.Count, func(c logCost, log, clients float64) float64 {
		another := (c.server*clients - c.alone) / (clients - 1) // what one client more costs with each change
		return max(1, 1+(log/logShare-c.alone)/another)
	}},
	{"other_processes_cpu_per_change", bench.Nanoseconds, func(c logCost, _, _ float64) float64 { return c.others }},
}

// Logs compares the change logs, in turned order.
func Logs(ctx context.Context, o Options) (sections []*bench.Section, err error) {
	if o.Events < 1 || o.Clients < 2 || o.Rounds < 1 || o.Rate <= 0 {
		return nil, fmt.Errorf("%w: %d changes, %d clients, %d rounds, %g changes a second", ErrOptions, o.Events, o.Clients, o.Rounds, o.Rate)
	}
	o.Args, o.Size = append([]string{"-max-per-ip", "0", "-ping-interval", "1h"}, o.Args...), 200
	costs := make([][]logCost, len(logLayouts)) // of each log in each round
	results := make([]*bench.Result, len(logLayouts))
	for round := range o.Rounds {
		for i := range logLayouts {
			at := (round + i) % len(logLayouts)
			o.Progress(logLayouts[at].name, int64(round*len(logLayouts)+i), int64(o.Rounds*len(logLayouts)))
			results[at] = &bench.Result{Name: logLayouts[at].name, Rounds: o.Rounds}
			c, err := o.logCost(ctx, at, results[at])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", logLayouts[at].name, err)
			}
			costs[at] = append(costs[at], c)
		}
	}
	for i, r := range results {
		for _, f := range logFigures {
			var values []float64
			for round, c := range costs[i] {
				values = append(values, f.of(c, c.alone-costs[0][round].alone, float64(o.Clients)))
			}
			measured(r, f.name, f.unit, values...)
		}
		sections = append(sections, &bench.Section{Title: "log: " + r.Name, Rounds: o.Rounds, Results: []*bench.Result{r}})
	}
	return sections, nil
}

// logCost starts what a log needs, and measures with one client and with all.
func (o *Options) logCost(ctx context.Context, l int, r *bench.Result) (c logCost, err error) {
	s, err := o.newStage(ctx, &Run{}, logLayouts[l].layout, newBook(false), logLayouts[l].args...)
	if err != nil {
		return c, err
	}
	defer s.close()
	alone, err := s.deliver(ctx, 1, 0, r)
	if err == nil {
		c, err = s.deliver(ctx, o.Clients, alone.sent, r)
	}
	c.alone = alone.server
	return c, err
}

// warmUp is how many changes come before the first that counts.
const warmUp = 20

// deliver publishes to so many clients of the first node, each of which gets every change once and in order, those of
// before as well.
func (s *stage) deliver(ctx context.Context, clients int, before uint64, r *bench.Result) (c logCost, err error) {
	a, err := s.newAudience(ctx, clients, r)
	if err != nil {
		return c, err
	}
	defer a.load.Close()
	a.sent.Store(before)
	var server, others [2]int64
	for i, more := range []uint64{warmUp, uint64(s.o.Events)} {
		if err := a.publish(ctx, a.sent.Load()+more); err != nil {
			return c, err
		}
		if err := a.exact(ctx); err != nil {
			return c, err
		}
		if server[i], others[i], err = s.cpu(); err != nil {
			return c, err
		}
		if i > 0 {
			break
		}
		if err := a.load.Record(ctx, r.Profile.Sizes, 0); err != nil {
			return c, err
		}
	}
	report, deliveries, _, err := a.load.Finish(a.sent.Load())
	if err != nil {
		return logCost{}, err
	}
	if report.Faults.Any() {
		err = wronged("%v; %s", report.Faults, report.Error)
	}
	changes := float64(s.o.Events)
	return logCost{
		p50: float64(deliveries.ValueAtQuantile(50)), p99: float64(deliveries.ValueAtQuantile(99)), sent: a.sent.Load(),
		server: float64(server[1]-server[0]) / (changes * float64(clients)), others: float64(others[1]-others[0]) / changes,
	}, err
}

// cpu is what the first node's server has had, and all other processes together, in nanoseconds.
func (s *stage) cpu() (first, others int64, err error) {
	for _, n := range s.nodes {
		for _, p := range n.processes() {
			ns, err := runner.ProcessTime(p.pid())
			if err != nil {
				return 0, 0, err
			}
			others += ns
			if p == &s.nodes[0].process {
				first = ns
			}
		}
	}
	return first, others - first, nil
}
