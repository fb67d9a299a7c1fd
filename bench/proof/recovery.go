package proof

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/busbar-ws/busbar/bench"
	"github.com/busbar-ws/busbar/bench/loadgen"
	"github.com/busbar-ws/busbar/bench/runner"
)

// RecoveryOptions say what a server's death is like: how many clients lose it, and how they come
// back. All are needed but Args.
type RecoveryOptions struct {
	Program string        // of the daemon
	Args    []string      // more of its arguments
	Clients []int         // one run for each
	Rate    float64       // changes a second, before, while there is no server as far as that goes, and after
	Return  float64       // clients a second that come back
	Size    int           // of a change's data, in bytes
	Steady  time.Duration // from the first change to the kill
	// Progress is called with what is being done.
	Progress func(phase string, done, of int64)
}

// Recover kills a server with its log on disk (kill -9), starts it again, and has clients come back
// with their cursors while changes go on, until every client has had each change once and in order.
func Recover(ctx context.Context, o RecoveryOptions) (*bench.Section, error) {
	if o.Program == "" || len(o.Clients) == 0 || o.Rate <= 0 || o.Return <= 0 || o.Size < 1 || o.Steady <= 0 {
		return nil, fmt.Errorf("%w: %d clients, %g changes of %d bytes a second for %v, %g clients a second: above 0",
			ErrOptions, o.Clients, o.Rate, o.Size, o.Steady, o.Return)
	}
	s := &bench.Section{Title: fmt.Sprintf("kill -9: %g changes a second, %g clients a second come back", o.Rate, o.Return), Rounds: 1}
	for _, n := range o.Clients {
		r, err := o.one(ctx, n)
		if ctx.Err() != nil {
			s.Interrupted = true
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%d clients: %w", n, err)
		}
		s.Results = append(s.Results, r)
	}
	if len(s.Results) == 0 {
		return nil, fmt.Errorf("recovery: %w", ctx.Err())
	}
	return s, nil
}

// recovery is one run. Owned by one goroutine.
type recovery struct {
	*RecoveryOptions
	d    *daemon
	load *loadgen.Load
	r    *bench.Result
	sent atomic.Uint64 // changes that were acknowledged; its publisher's own goroutine adds to it
}

func (o *RecoveryOptions) one(ctx context.Context, clients int) (r *bench.Result, err error) {
	folder, err := os.MkdirTemp("", "busbar-recovery")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	d, err := newDaemon(o.Program, filepath.Join(folder, "data"), append([]string{"-log", "disk", "-max-per-ip", "0"}, o.Args...)...)
	if err != nil {
		return nil, err
	}
	if err := d.start(ctx); err != nil {
		return nil, err
	}
	defer d.kill()
	token, err := d.session(ctx, "client")
	if err != nil {
		return nil, err
	}
	p := bench.Default()
	p.Clients, p.Rate, p.Duration, p.Sizes = clients, o.Rate, o.Steady, loadgen.Size(o.Size)
	p.Target.Name, p.ServerCores, p.LoadCores = "busbar", nil, nil
	load, err := loadgen.Start(loadgen.Options{
		Clients: clients, Pace: p.Pace, Token: token, Stall: p.Stall, Changes: true,
	}, nil)
	if err != nil {
		return nil, err
	}
	defer load.Close()
	p.Workers = load.Workers()
	x := &recovery{RecoveryOptions: o, d: d, load: load, r: &bench.Result{Name: fmt.Sprint(clients, " clients"), Profile: p, Rounds: 1}}
	return x.r, x.run(ctx, clients)
}

func (x *recovery) run(ctx context.Context, clients int) error {
	x.Progress(x.r.Name+": connecting", 0, 0)
	if _, err := x.load.Connect(ctx, x.d.ws, nil); err != nil {
		return err
	}
	publishing, stop := context.WithCancel(ctx)
	ended, failed := make(chan struct{}), error(nil)
	go func() {
		defer close(ended)
		failed = x.publish(publishing)
	}()
	defer func() { stop(); <-ended }()
	x.Progress(x.r.Name+": before the kill", 0, 0)
	pause(ctx, x.Steady)
	before, err := x.finish("before_delivery", 0)
	if err != nil {
		return err
	}
	killed := time.Now()
	x.d.kill()
	if err := x.d.start(ctx); err != nil {
		return err
	}
	ready := time.Now()
	x.Progress(x.r.Name+": coming back", 0, 0)
	if err := x.load.Return(ctx, x.Return); err != nil {
		return err
	}
	back := time.Now()
	if err := x.exact(ctx, x.sent.Load()); err != nil {
		return err
	}
	exact := time.Now()
	cpu, err := runner.ProcessTime(x.d.pid())
	if err != nil {
		return err
	}
	x.time("until_ready", ready.Sub(killed))
	x.time("until_all_are_back", back.Sub(killed))
	x.time("until_all_are_exact", exact.Sub(killed))
	x.time("server_cpu", time.Duration(cpu))
	x.figure("server_cpu_share_of_a_core", bench.PerOne, float64(cpu)/float64(exact.Sub(killed)))
	after, err := x.finish("live_delivery", 0)
	if err != nil {
		return err
	}
	x.figure("replayed_per_client", bench.PerOne, float64(after.Deliveries-before.Deliveries-(after.Measured-before.Measured))/float64(clients))
	stop()
	if <-ended; failed != nil {
		return failed
	}
	if err := x.exact(ctx, x.sent.Load()); err != nil {
		return err
	}
	last, err := x.finish("", x.sent.Load())
	x.figure("changes", bench.Count, float64(x.sent.Load()))
	if x.r.Faults = last.Faults; last.Faults.Any() {
		x.r.Failures, x.r.Rounds = []string{fmt.Sprintf("%v; %s", last.Faults, last.Error)}, 0
	}
	return err
}

// publish publishes changes, each until it is acknowledged: its op id has it applied once. What is
// late isn't made up for.
func (x *recovery) publish(ctx context.Context) error {
	tick := time.NewTicker(time.Duration(float64(time.Second) / x.Rate))
	defer tick.Stop()
	for n := uint64(0); ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		body := loadgen.AppendChange(nil, n, loadgen.Now(), x.Size)
		for { // what was begun is ended: it may be in the log already
			_, err := x.d.call(context.WithoutCancel(ctx), "POST", "/v1/changes", mimeJSON, body)
			var no *refusal
			if errors.As(err, &no) {
				return err
			}
			if err == nil {
				break
			}
			if !pause(ctx, 5*time.Millisecond) {
				return nil
			}
		}
		x.sent.Store(n + 1)
	}
}

// exact waits until every client has so many changes.
func (x *recovery) exact(ctx context.Context, changes uint64) error {
	for late := time.Now().Add(4 * patience); x.load.Done() < changes; {
		if time.Now().After(late) {
			return wronged("a client has %d of %d changes", x.load.Done(), changes)
		}
		if err := x.load.Alive(); err != nil {
			return err
		}
		if !pause(ctx, time.Millisecond) {
			return ctx.Err()
		}
	}
	return nil
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
	x.r.Figures = append(x.r.Figures, bench.Figure{Name: name, Unit: unit, Spread: bench.Spread{Median: v, Low: v, High: v, Values: []float64{v}}})
}
