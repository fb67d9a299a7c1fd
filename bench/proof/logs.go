package proof

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/busbar-ws/busbar/bench/runner"
)

// logCost is what a publisher of single changes, and delivering them to clients of one server, cost with a log in one
// round. What the log costs is the difference with one client: with many, the sooner a publisher is answered, the more
// changes go out together, which costs less than the log does.
type logCost struct {
	p50, p99 time.Duration // from publishing to a client
	server   float64       // ns of the server's CPU for each delivery
	others   float64       // of the other nodes and NATS servers, for each change
	alone    float64       // ns of the server's CPU for each change, to one client
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

// Logs compares the change logs, in turned order.
func Logs(ctx context.Context, o Options) (*Result, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if o.Events < 1 || o.Clients < 2 || o.Rounds < 1 || o.Rate == 0 {
		return nil, fmt.Errorf("%w: %d changes, %d clients, %d rounds, %g changes a second", ErrOptions, o.Events, o.Clients, o.Rounds, o.Rate)
	}
	o.Args = append([]string{"-max-per-ip", "0", "-ping-interval", "1h"}, o.Args...)
	rounds := make([][]*logCost, o.Rounds)
	began := time.Now()
	for round := range rounds {
		rounds[round] = make([]*logCost, len(logLayouts))
		for i := range logLayouts {
			at := (round + i) % len(logLayouts)
			o.Progress(logLayouts[at].name, int64(round*len(logLayouts)+i), int64(o.Rounds*len(logLayouts)))
			var err error
			if rounds[round][at], err = o.logCost(ctx, at); err != nil {
				return nil, fmt.Errorf("%s: %w", logLayouts[at].name, err)
			}
		}
	}
	r := &Result{}
	for i, l := range logLayouts {
		run := &Run{Name: l.name, What: fmt.Sprintf("%d clients, %g changes a second, %d rounds", o.Clients, o.Rate, o.Rounds), Seconds: time.Since(began).Seconds()}
		run.Figures = logFigures(rounds, i, float64(o.Clients))
		r.Runs = append(r.Runs, run)
	}
	return r, nil
}

// logFigures are medians over rounds; what is said of the log is of each round's own.
func logFigures(rounds [][]*logCost, log int, clients float64) (figures []Figure) {
	const share = 0.05
	for _, f := range []struct {
		name, unit string
		of         func(c *logCost, log float64) float64
	}{
		{"delivery p50", "ms", func(c *logCost, _ float64) float64 { return c.p50.Seconds() * 1e3 }},
		{"delivery p99", "ms", func(c *logCost, _ float64) float64 { return c.p99.Seconds() * 1e3 }},
		{"server's CPU per delivery", "µs", func(c *logCost, _ float64) float64 { return c.server / 1e3 }},
		{"the log's per change", "ms", func(_ *logCost, log float64) float64 { return log / 1e6 }},
		{"the log's share", "%", func(c *logCost, log float64) float64 { return 100 * log / (c.server * clients) }},
		{"under 5 % from", "clients", func(c *logCost, log float64) float64 {
			another := (c.server*clients - c.alone) / (clients - 1) // what one client more costs with each change
			return max(1, 1+(log/share-c.alone)/another)
		}},
		{"other processes' CPU per change", "ms", func(c *logCost, _ float64) float64 { return c.others / 1e6 }},
	} {
		var all []float64
		for _, costs := range rounds {
			all = append(all, f.of(costs[log], costs[log].alone-costs[0].alone))
		}
		figures = append(figures, Figure{Name: f.name, Unit: f.unit, Least: slices.Min(all), Median: median(all), Most: slices.Max(all)})
	}
	return figures
}

// logCost starts what a log needs, and measures with one client and with all.
func (o *Options) logCost(ctx context.Context, which int) (*logCost, error) {
	l := logLayouts[which]
	s, err := o.newStage(ctx, &Run{}, l.layout, chaosBook(l.layout), l.args...)
	if err != nil {
		return nil, err
	}
	defer s.close()
	s.size = func(*stream, uint64) int { return 200 }
	var others []int
	for i, n := range s.nodes {
		if i > 0 {
			others = append(others, n.pid())
		}
		if n.nats != nil {
			others = append(others, n.nats.pid())
		}
	}
	alone, err := s.deliver(ctx, others, 1)
	if err != nil {
		return nil, err
	}
	cost, err := s.deliver(ctx, others, o.Clients)
	if err == nil {
		cost.alone = alone.server
	}
	return cost, err
}

// warmUp is how many changes come before the first that counts.
const warmUp = 20

// deliver publishes to so many clients of the first node, each of which gets every change once and in order.
func (s *stage) deliver(ctx context.Context, others []int, clients int) (*logCost, error) {
	first := s.nodes[0]
	token, err := s.token(ctx, "client")
	if err != nil {
		return nil, err
	}
	p := &publisher{stream: s.book.streams["single0"]}
	base, began := p.stream.next(), time.Now()
	published, took := make([]atomic.Int64, s.o.Events+warmUp), make([][]time.Duration, clients)
	peers := make([]*peer, clients)
	for i := range peers {
		if peers[i], err = first.connect(ctx, caller{user: "client", token: token}, s.book); err != nil {
			return nil, err
		}
		defer peers[i].gone()
		peers[i].with(func(a *account) {
			a.heard = func(n uint64) {
				if at := n - base; at >= warmUp {
					took[i] = append(took[i], time.Since(began)-time.Duration(published[at].Load()))
				}
			}
		})
	}
	tick := time.NewTicker(time.Duration(float64(time.Second) / s.o.Rate))
	defer tick.Stop()
	var server, rest int64
	for n := range published {
		<-tick.C
		if n == warmUp {
			if server, rest, err = cpuOf(first.pid(), others); err != nil {
				return nil, err
			}
		}
		published[n].Store(int64(time.Since(began)))
		if err := s.publish(ctx, p); err != nil {
			return nil, err
		}
	}
	for _, one := range peers {
		if err := one.catchUp(); err != nil {
			return nil, err
		}
	}
	serverAfter, restAfter, err := cpuOf(first.pid(), others)
	all := slices.Concat(took...)
	slices.Sort(all)
	return &logCost{
		p50: all[len(all)/2], p99: all[len(all)*99/100],
		server: float64(serverAfter-server) / float64(len(all)), others: float64(restAfter-rest) / float64(s.o.Events),
	}, err
}

// cpuOf is what a process has had, and others together, in nanoseconds.
func cpuOf(pid int, others []int) (own, sum int64, err error) {
	own, err = runner.ProcessTime(pid)
	for _, other := range others {
		n, e := runner.ProcessTime(other)
		sum, err = sum+n, errors.Join(err, e)
	}
	return own, sum, err
}
