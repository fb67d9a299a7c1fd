package bench_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/bench"
)

// disturbed is a short run against Busbar; its limit for those who lag lies above what is in
// flight and is soon reached.
func disturbed(t *testing.T, policy string) bench.DisturbOptions {
	o := bench.DisturbOptions{FanoutOptions: bench.FanoutOptions{
		Options: options(t, 40), Size: 4096, Window: 4, Messages: 600,
	}}
	o.Target.Command = process(t, "target", "-policy", policy, "-lag-bytes=65536", "-loops=2")
	o.Load.Workers = 2
	return o
}

// checkDisturbed fails unless all who stay and read got everything.
func checkDisturbed(t *testing.T, r *bench.DisturbRun, stay int) {
	t.Helper()
	if r.Failed != "" || r.Stay != stay || r.Deliveries != r.Messages*uint64(stay) || r.Latency.Count != r.Deliveries {
		t.Errorf("failed: %q, %d stay, %d deliveries of %d messages", r.Failed, r.Stay, r.Deliveries, r.Messages)
	}
	if r.PerDelivery <= 0 || r.Sends <= 0 || r.Peak < r.Before.Resident/2 || r.Report.Measured < r.Deliveries {
		t.Errorf("%v ns and %v sends per delivery, peak %d, %d measured", r.PerDelivery, r.Sends, r.Peak, r.Report.Measured)
	}
}

func slow(t *testing.T, policy string) (*bench.DisturbResult, bench.Stalled) {
	t.Helper()
	o := disturbed(t, policy)
	o.Stalled, o.Rounds = 0.1, 1
	r, err := bench.Slow(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Failed != "" || len(r.Rounds) != 1 {
		t.Fatalf("failed: %q, %d rounds", r.Failed, len(r.Rounds))
	}
	checkDisturbed(t, r.Rounds[0].Without, 40)
	checkDisturbed(t, r.Rounds[0].With, 36)
	if s := r.Rounds[0].Without.Report.Stalled; s != (bench.Stalled{}) {
		t.Errorf("nobody should stall: %+v", s)
	}
	return r, r.Rounds[0].With.Report.Stalled
}

func TestStalledClientsAreDisconnectedAndTheOthersHaveEverything(t *testing.T) {
	t.Parallel()
	r, s := slow(t, "disconnect")
	if s.Clients != 4 || s.Disconnected != 4 || s.Lost != 0 || s.CaughtUp != 0 {
		t.Errorf("%+v", s)
	}
	if f := r.Summary[0]; f.Name != "cpu_per_delivery_ns" || f.Without.Rounds != 1 || f.With.Rounds != 1 || f.Ratio.Median <= 0 {
		t.Errorf("%+v", f)
	}
	var table strings.Builder
	if err := r.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"with ÷ without", "4: 4 were disconnected", "resident peak", "once, in order"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("%q isn't in\n%s", want, table.String())
		}
	}
	if strings.Contains(table.String(), "takes a longer run") {
		t.Errorf("clients that were disconnected weren't noticed:\n%s", table.String())
	}
}

func TestStalledClientsLoseTheOldestMessagesAndAreTold(t *testing.T) {
	t.Parallel()
	_, s := slow(t, "drop-oldest")
	if s.Clients != 4 || s.Disconnected != 0 || s.CaughtUp != 4 || s.Told != 4 || s.Gapped != 4 || s.Lost == 0 {
		t.Errorf("%+v", s)
	}
}

func TestClientsComeAndLeave(t *testing.T) {
	t.Parallel()
	o := disturbed(t, "disconnect")
	o.Size, o.Rate, o.Messages, o.Churn, o.Rounds = 64, 200, 200, 100, 1
	r, err := bench.Churn(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	run := r.Rounds[0].With
	checkDisturbed(t, run, 20)
	c := run.Report.Churn
	if c.Came < 10 || c.Left != c.Came || c.Placed != c.Came && c.Placed < c.Came/2 || run.AtEnd != 40 {
		t.Errorf("%+v, %d at the end", c, run.AtEnd)
	}
	if run.Upgrades.Count != c.Came || run.Upgrades.P99 <= 0 {
		t.Errorf("upgrades: %+v", run.Upgrades)
	}
	if _, ok := r.Rounds[0].PerArrival(); !ok {
		t.Error("what an arrival costs isn't known")
	}
}

// Those who are connected get every message while many others come, are let in and leave.
func TestClientsComeAtOnce(t *testing.T) {
	t.Parallel()
	o := disturbed(t, "disconnect")
	o.Size, o.Rate, o.Messages, o.Storm, o.Rounds = 64, 200, 50, 500, 1
	o.Target.Command = process(t, "target", "-loops=1")
	r, err := bench.Rush(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Failed != "" {
		t.Fatal(r.Failed)
	}
	checkDisturbed(t, r.Rounds[0].Without, 40)
	checkDisturbed(t, r.Rounds[0].With, 40)
	run := r.Rounds[0].With
	if run.Upgrades.Count != 500 || run.Came <= 0 || run.AtEnd != 40 {
		t.Errorf("%d upgrades, %v a second, %d clients at the end", run.Upgrades.Count, run.Came, run.AtEnd)
	}
}

func TestMixedHasEverythingAtOnce(t *testing.T) {
	t.Parallel()
	o := disturbed(t, "drop-oldest")
	var err error
	if o.Sizes, err = bench.ParseMixture("128:2,4096:2,16384:1"); err != nil {
		t.Fatal(err)
	}
	o.Window, o.Churn, o.Stalled, o.Messages = 2, 100, 0.1, 300
	r, err := bench.Mixed(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	run := r.Rounds[0].With
	if r.Rounds[0].Without != nil || r.Failed != "" {
		t.Errorf("failed: %q, an undisturbed run: %v", r.Failed, r.Rounds[0].Without != nil)
	}
	checkDisturbed(t, run, 20)
	if run.Report.Stalled.CaughtUp != 4 || run.Report.Churn.Came == 0 || run.AtEnd != 40 {
		t.Errorf("%+v, %+v, %d at the end", run.Report.Stalled, run.Report.Churn, run.AtEnd)
	}
}

// What befalls a client that reads fails the run, whoever stalls beside it.
func TestFaultsFailTheRunOfAServerWithStalledClients(t *testing.T) {
	t.Parallel()
	for fault, want := range map[string]bench.Faults{
		"none": {}, "lose": {Lost: 1}, "repeat": {Repeated: 1}, "reorder": {Disordered: 1},
	} {
		o := bench.DisturbOptions{FanoutOptions: bench.FanoutOptions{Options: options(t, 8), Window: 4, Messages: 20}, Stalled: 0.25}
		o.Target = bench.Target{Name: fault, Command: process(t, "faulty", "-fault", fault)}
		r, err := bench.Slow(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		run := r.Rounds[0].With
		if run.Report.Faults != want || (r.Failed != "") != want.Any() {
			t.Errorf("%s: %v, failed: %q", fault, run.Report.Faults, r.Failed)
		}
	}
}

// Ctrl-C ends a run early; the ones that stall are heard and the books are closed.
func TestInterruptedDisturbanceHasAResult(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := disturbed(t, "drop-oldest")
	o.Messages, o.Duration, o.Stalled, o.Churn = 0, time.Hour, 0.1, 50
	o.Progress = func(phase string, done, _ int64) {
		if phase == "measuring" && done > int64(50*time.Millisecond) {
			cancel()
		}
	}
	r, err := bench.Mixed(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Interrupted || !r.Rounds[0].With.Interrupted || r.Rounds[0].With.Messages == 0 || r.Rounds[0].With.Report.Stalled.Clients != 4 {
		t.Errorf("interrupted: %v, %+v", r.Interrupted, r.Rounds[0].With)
	}
	checkDisturbed(t, r.Rounds[0].With, 20)
	var table strings.Builder
	if err := r.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	if text := table.String(); !strings.Contains(text, "CPU per delivery") || !strings.Contains(text, "interrupted") {
		t.Errorf("what there is isn't in\n%s", text)
	}
}

func TestDisturbancesThatCantBe(t *testing.T) {
	for name, change := range map[string]func(*bench.DisturbOptions){
		"above":   func(o *bench.DisturbOptions) { o.Stalled = 0.26 },
		"none":    func(o *bench.DisturbOptions) { o.Stalled = 0.01 },
		"few":     func(o *bench.DisturbOptions) { o.Load.Clients = 3 },
		"rounds":  func(o *bench.DisturbOptions) { o.Rounds = -1 },
		"churn":   func(o *bench.DisturbOptions) { o.Churn = -1 },
		"sizes":   func(o *bench.DisturbOptions) { o.Sizes = bench.Mixture{{Size: 1, Weight: 1}} },
		"endless": func(o *bench.DisturbOptions) { o.Messages = 0 },
	} {
		o := disturbed(t, "disconnect")
		o.Stalled = 0.1
		change(&o)
		if _, err := bench.Slow(t.Context(), o); !errors.Is(err, bench.ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := bench.Slow(t.Context(), disturbed(t, "disconnect")); !errors.Is(err, bench.ErrOptions) {
		t.Errorf("slow without anyone who stalls: %v", err)
	}
	if _, err := bench.Rush(t.Context(), disturbed(t, "disconnect")); !errors.Is(err, bench.ErrOptions) {
		t.Errorf("rush without anyone who comes: %v", err)
	}
	if _, err := bench.Churn(t.Context(), disturbed(t, "disconnect")); !errors.Is(err, bench.ErrOptions) {
		t.Errorf("churn without anyone who leaves: %v", err)
	}
}
