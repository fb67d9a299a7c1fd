package proof

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
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

// recovery is one run. Owned by one goroutine.
type recovery struct {
	*audience
	o *Options
	r *bench.Result
}

func (o *Options) recover(ctx context.Context, clients int) (*bench.Result, error) {
	folder, err := os.MkdirTemp("", "busbar-recovery")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	n, err := newNode(o.Program, filepath.Join(folder, "data"), append([]string{"-log", "disk", "-max-per-ip", "0"}, o.Args...)...)
	if err != nil {
		return nil, err
	}
	if err := n.start(ctx); err != nil {
		return nil, err
	}
	defer n.close()
	token, err := n.session(ctx, "client")
	if err != nil {
		return nil, err
	}
	name := fmt.Sprint(clients, " clients")
	o.Progress(name+": connecting", 0, 0)
	a, err := o.newAudience(ctx, n, token, clients)
	if err != nil {
		return nil, err
	}
	defer a.load.Close()
	x := &recovery{a, o, &bench.Result{Name: name, Profile: a.profile, Rounds: 1}}
	return x.r, x.run(ctx)
}

func (x *recovery) run(ctx context.Context) error {
	publishing, stop := context.WithCancel(ctx)
	ended, failed := make(chan struct{}), error(nil)
	go func() {
		defer close(ended)
		failed = x.publish(publishing, 1<<40)
	}()
	defer func() { stop(); <-ended }()
	x.o.Progress(x.r.Name+": before the kill", 0, 0)
	pause(ctx, x.o.Load)
	before, err := x.finish("before_delivery", 0)
	if err != nil {
		return err
	}
	killed := time.Now()
	_ = x.node.kill()
	if err := x.node.start(ctx); err != nil {
		return err
	}
	x.time("until_ready", time.Since(killed))
	x.o.Progress(x.r.Name+": coming back", 0, 0)
	if err := x.load.Return(ctx, x.o.Return); err != nil {
		return err
	}
	x.time("until_all_are_back", time.Since(killed))
	if err := x.exact(ctx); err != nil {
		return err
	}
	exact := time.Since(killed)
	cpu, err := runner.ProcessTime(x.node.pid())
	if err != nil {
		return err
	}
	x.time("until_all_are_exact", exact)
	x.time("server_cpu", time.Duration(cpu))
	x.figure("server_cpu_share_of_a_core", bench.PerOne, float64(cpu)/float64(exact))
	after, err := x.finish("live_delivery", 0)
	if err != nil {
		return err
	}
	x.figure("replayed_per_client", bench.PerOne, float64(after.Deliveries-before.Deliveries-(after.Measured-before.Measured))/float64(x.profile.Clients))
	stop()
	if <-ended; failed != nil {
		return failed
	}
	if err := x.exact(ctx); err != nil {
		return err
	}
	last, err := x.finish("", x.sent.Load())
	x.figure("changes", bench.Count, float64(x.sent.Load()))
	if x.r.Faults = last.Faults; last.Faults.Any() {
		x.r.Failures, x.r.Rounds = []string{fmt.Sprintf("%v; %s", last.Faults, last.Error)}, 0
	}
	return err
}

// finish asks the clients what they have seen, and notes latencies by a name unless it is empty.
func (x *recovery) finish(name string, end uint64) (loadgen.Report, error) {
	report, deliveries, _, err := x.load.Finish(end)
	if l := loadgen.LatencyOf(deliveries); err == nil && name != "" && l.Count > 0 {
		x.time(name+"_p50", time.Duration(l.P50))
		x.time(name+"_p99", time.Duration(l.P99))
		x.r.Curves = append(x.r.Curves, bench.Curve{Name: name, Points: l.Curve})
	}
	return report, err
}

func (x *recovery) time(name string, d time.Duration) { x.figure(name, bench.Nanoseconds, float64(d)) }

func (x *recovery) figure(name, unit string, v float64) {
	x.r.Figures = append(x.r.Figures, bench.Figure{Name: name, Unit: unit, Spread: spreadOf([]float64{v})})
}
