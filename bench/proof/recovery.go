package proof

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/busbar-ws/busbar/bench"
	"github.com/busbar-ws/busbar/bench/loadgen"
	"github.com/busbar-ws/busbar/bench/runner"
)

// Recover kills a server with its log on disk (kill -9), starts it again, and has clients come back
// with their cursors while changes go on, until every client has had each change once and in order.
func Recover(ctx context.Context, o Options) ([]*bench.Section, error) {
	if o.Rate <= 0 || o.Return <= 0 || o.Size < 1 || o.Load <= 0 {
		return nil, fmt.Errorf("%w: %g changes of %d bytes a second for %v, %g clients a second: above 0", ErrOptions, o.Rate, o.Size, o.Load, o.Return)
	}
	s := &bench.Section{Title: fmt.Sprintf("kill -9: %g changes a second, %g clients a second come back", o.Rate, o.Return), Rounds: 1}
	for _, clients := range o.Crowds {
		r, err := o.recover(ctx, clients)
		if ctx.Err() != nil {
			s.Interrupted = true
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%d clients: %w", clients, err)
		}
		s.Results = append(s.Results, r)
	}
	if len(s.Results) == 0 {
		return nil, fmt.Errorf("recovery: %w", ctx.Err())
	}
	return []*bench.Section{s}, nil
}

func (o *Options) recover(ctx context.Context, clients int) (*bench.Result, error) {
	s, err := o.newStage(ctx, &Run{}, layout{nodes: 1}, newBook(false), "-log", "disk", "-max-per-ip", "0")
	if err != nil {
		return nil, err
	}
	defer s.close()
	r := &bench.Result{Name: fmt.Sprint(clients, " clients"), Rounds: 1}
	o.Progress(r.Name+": connecting", 0, 0)
	a, err := s.newAudience(ctx, clients, r)
	if err != nil {
		return nil, err
	}
	defer a.load.Close()
	publishing, stop := context.WithCancel(ctx)
	published := make(chan error, 1)
	go func() { published <- a.publish(publishing, 1<<40) }()
	err = a.recover(ctx, o)
	stop()
	if failed := <-published; err == nil {
		err = failed
	}
	if err == nil {
		err = a.exact(ctx)
	}
	if err != nil {
		return nil, err
	}
	last, err := a.finish("", a.sent.Load())
	measured(r, "changes", bench.Count, float64(a.sent.Load()))
	if r.Faults = last.Faults; last.Faults.Any() {
		r.Failures, r.Rounds = []string{fmt.Sprintf("%v; %s", last.Faults, last.Error)}, 0
	}
	return r, err
}

// recover kills the server while changes are published, and waits until all clients are back and have them.
func (a *audience) recover(ctx context.Context, o *Options) error {
	o.Progress(a.r.Name+": before the kill", 0, 0)
	pause(ctx, o.Load)
	before, err := a.finish("before_delivery", 0)
	if err != nil {
		return err
	}
	killed := time.Now()
	since := func(name string) { measured(a.r, name, bench.Nanoseconds, float64(time.Since(killed))) }
	_ = a.node.kill()
	if err := a.node.start(ctx); err != nil {
		return err
	}
	since("until_ready")
	o.Progress(a.r.Name+": coming back", 0, 0)
	if err := a.load.Return(ctx, o.Return); err != nil {
		return err
	}
	since("until_all_are_back")
	if err := a.exact(ctx); err != nil {
		return err
	}
	since("until_all_are_exact")
	cpu, err := runner.ProcessTime(a.node.pid())
	if err != nil {
		return err
	}
	measured(a.r, "server_cpu", bench.Nanoseconds, float64(cpu))
	measured(a.r, "server_cpu_share_of_a_core", bench.PerOne, float64(cpu)/a.r.Figure("until_all_are_exact").Median)
	after, err := a.finish("live_delivery", 0)
	measured(a.r, "replayed_per_client", bench.PerOne, float64(after.Deliveries-before.Deliveries-(after.Measured-before.Measured))/float64(a.r.Profile.Clients))
	return err
}

// finish asks the clients what they have seen, and notes latencies by a name unless it is empty.
func (a *audience) finish(name string, end uint64) (loadgen.Report, error) {
	report, deliveries, _, err := a.load.Finish(end)
	if err == nil && name != "" && deliveries.TotalCount() > 0 {
		measured(a.r, name+"_p50", bench.Nanoseconds, float64(deliveries.ValueAtQuantile(50)))
		measured(a.r, name+"_p99", bench.Nanoseconds, float64(deliveries.ValueAtQuantile(99)))
		a.r.Curves = append(a.r.Curves, bench.Curve{Name: name, Points: loadgen.Curve(deliveries)})
	}
	return report, err
}

// measured notes what the rounds of a result have shown.
func measured(r *bench.Result, name, unit string, values ...float64) {
	spread := bench.Spread{Median: median(values), Low: slices.Min(values), High: slices.Max(values), Values: values}
	r.Figures = append(r.Figures, bench.Figure{Name: name, Unit: unit, Spread: spread})
}
