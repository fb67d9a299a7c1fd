package bench_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/bench"
	"github.com/busbar-ws/busbar/bench/report"
)

func TestIdle(t *testing.T) {
	t.Parallel()
	o := bench.IdleOptions{Options: options(t, 400), Settle: time.Millisecond}
	o.Load.Workers = 2
	var measured []*bench.IdleResult
	o.Measured = func(r *bench.IdleResult) { measured = append(measured, r) }
	r, err := bench.Idle(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Failed != "" || r.Report.Deliveries != 400 {
		t.Errorf("failed: %q, %d deliveries", r.Failed, r.Report.Deliveries)
	}
	if len(measured) != 1 || measured[0] != r {
		t.Errorf("Measured was called %d times", len(measured))
	}
	if r.Connect <= 0 || r.Delivery.Count != 400 || r.Delivery.Max <= 0 {
		t.Errorf("connected in %v s, delivery %+v", r.Connect, r.Delivery)
	}
	var table strings.Builder
	if err := r.WriteTable(&table); err != nil || !strings.Contains(table.String(), "delivery of a message to all") ||
		!strings.Contains(table.String(), "; after a broadcast ") || len(r.Charts()[0].(report.Bars).Rows) != 4 {
		t.Errorf("%v, nothing of the broadcast in\n%s", err, table.String())
	}
	if r.Interrupted || r.Sent.Resident <= 0 || r.UserSent <= 0 {
		t.Errorf("interrupted: %v, %d B resident after the message, %v per connection", r.Interrupted, r.Sent.Resident, r.UserSent)
	}
	if r.Before.Resident <= 0 || r.User <= 0 || r.Idle.Slab <= 0 {
		t.Errorf("memory before %+v, idle %+v, per connection %v", r.Before, r.Idle, r.User)
	}
}

// Ctrl-C ends the wait for a client that doesn't get the message, or leaves it out when it
// comes before. What idle connections hold has been measured.
func TestInterruptedIdleHasAResult(t *testing.T) {
	t.Parallel()
	for _, during := range []string{"settling", "one message to all"} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		o := bench.IdleOptions{Options: options(t, 5), Settle: time.Hour}
		if during != "settling" {
			o.Settle = time.Millisecond
		}
		o.Stall = time.Hour
		o.Target = bench.Target{Name: "mute", Command: process(t, "faulty", "-fault", "mute")}
		o.Progress = func(phase string, _, _ int64) {
			if phase == during {
				cancel()
			}
		}
		r, err := bench.Idle(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Interrupted || r.Failed != "" || r.Idle.Resident <= 0 {
			t.Errorf("%s: interrupted: %v, failed: %q, %d B resident, %d deliveries", during, r.Interrupted, r.Failed, r.Idle.Resident, r.Report.Deliveries)
		}
		var table strings.Builder
		if err := r.WriteTable(&table); err != nil || !strings.Contains(table.String(), "interrupted") || strings.Contains(table.String(), "broadcast") {
			t.Errorf("%s: %v, printed %s", during, err, table.String())
		}
		if len(r.Charts()[0].(report.Bars).Rows) != 3 {
			t.Errorf("%s: a chart of a broadcast that wasn't", during)
		}
	}
}

// A server that accepts and says nothing ends connecting after LoadOptions.Stall.
func TestConnectingThatStallsFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	o := options(t, 3).Load
	o.Stall = 200 * time.Millisecond
	load, err := bench.StartLoad(o)
	if err != nil {
		t.Fatal(err)
	}
	defer load.Close()
	if _, err = load.Connect(t.Context(), l.Addr().String(), nil); err == nil || !strings.Contains(err.Error(), "for 200ms") {
		t.Errorf("connecting ended with %v, want an error that names the 200 ms", err)
	}
}

func TestStorm(t *testing.T) {
	t.Parallel()
	o := options(t, 400)
	o.Load.Pace = 32
	r, err := bench.Storm(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Failed != "" || r.Latency.Count != 400 || r.PerHandshake <= 0 || r.PerSecond <= 0 {
		t.Errorf("failed: %q, %d connections, %v ns each, %v a second", r.Failed, r.Latency.Count, r.PerHandshake, r.PerSecond)
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	o := bench.CompareOptions{
		FanoutOptions: bench.FanoutOptions{Options: options(t, 5), Window: 4, Messages: 20},
		Rounds:        2, Base: "busbar",
	}
	o.Targets = []bench.Target{
		o.Target,
		{Name: "other", Command: process(t, "faulty", "-fault", "none")},
		{Name: "lossy", Command: process(t, "faulty", "-fault", "lose")},
		{Name: "absent", Command: []string{"false"}},
	}
	c, err := bench.Compare(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !c.Failed() || len(c.Rounds) != 2 || len(c.Summary) != 4 {
		t.Fatalf("failed: %v, %d rounds, %d summaries", c.Failed(), len(c.Rounds), len(c.Summary))
	}
	one := bench.Spread{Median: 1, Min: 1, Max: 1, Rounds: 2}
	if s := c.Summary[0]; s.Ratio != one || s.Failures != 0 {
		t.Errorf("the base: %+v", s)
	}
	if s := c.Summary[1]; s.Ratio.Rounds != 2 || s.Ratio.Median <= 0 || s.Failures != 0 || s.Sends.Rounds != 0 {
		t.Errorf("the other: %+v", s)
	}
	for _, s := range c.Summary[2:] {
		if s.Ratio.Rounds != 0 || s.CPU.Rounds != 0 || s.Failures != 2 {
			t.Errorf("%s, which fails: %+v", s.Target, s)
		}
	}
	var table strings.Builder
	if err := c.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"to busbar", "round 2, absent: ", "round 1, lossy: FAILED: "} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("%q isn't in\n%s", want, table.String())
		}
	}
}

func TestInterruptedLoopsHaveAResult(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := bench.LoopsOptions{Options: options(t, 20), Messages: 3, Rounds: 2}
	o.Targets = []bench.Target{o.Target}
	o.Progress = func(phase string, _, _ int64) {
		if strings.HasPrefix(phase, "round 2/2") {
			cancel()
		}
	}
	r, err := bench.Loops(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Interrupted || r.Failed != "" || len(r.Runs) != 1 || r.Summary[0].PerSecond.Rounds != 1 {
		t.Errorf("interrupted: %v, failed: %q, %d runs", r.Interrupted, r.Failed, len(r.Runs))
	}
}
