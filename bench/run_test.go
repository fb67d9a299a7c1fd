package bench_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/bench"
	"github.com/busbar-ws/busbar/bench/loadgen"
	"github.com/busbar-ws/busbar/bench/runner"
)

// against runs a few messages against the server with a fault.
func against(t *testing.T, fault string) *bench.Result {
	t.Helper()
	p := load(t, 5)
	p.Window, p.Messages = 4, 20
	p.Target = runner.Target{Name: fault, Command: process(t, "faulty", "-fault", fault)}
	if fault == "silence" {
		p.Stall = 3 * time.Second
	}
	return mustRun(t, p)
}

// The checks can fail: each fault is found, counted and makes the run fail. A connection that ends,
// or a client that gets nothing any more, loses all messages from there on.
func TestFaultsFailTheRun(t *testing.T) {
	t.Parallel()
	for fault, want := range map[string]loadgen.Faults{
		"lose": {Lost: 1}, "repeat": {Repeated: 1}, "reorder": {Disordered: 1}, "shorten": {Foreign: 1, Lost: 1},
		"end": {Ended: 1, Lost: 10}, "silence": {Lost: 4},
	} {
		r := against(t, fault)
		if r.Faults != want || len(r.Failures) != 1 {
			t.Errorf("%s: found %v, failures %q; want %v", fault, r.Faults, r.Failures, want)
		}
		if fault == "end" && !strings.Contains(r.Failures[0], "it wrote: a client is unwanted") {
			t.Errorf("the failure doesn't say what the server wrote: %q", r.Failures)
		}
	}
}

// The same server without a fault passes, so that it is the faults that fail.
func TestServerWithoutFaultsPasses(t *testing.T) {
	r := against(t, "none")
	expect(t, r, map[string]float64{"deliveries": 100, "messages": 20, "sends_per_delivery": -1})
}

func TestLatencyHasTheServersDelay(t *testing.T) {
	r := against(t, "delay")
	expect(t, r, map[string]float64{"deliveries": 100})
	if p50 := value(r, "delivery_p50"); p50 < float64(faultyDelay) {
		t.Errorf("p50 %v; the server waits %v", time.Duration(p50), faultyDelay)
	}
}

// A command that starts the server, a script or a tracer, ends with it: nothing is left, and the
// bench doesn't wait for it.
func TestCommandAroundTheServer(t *testing.T) {
	p := load(t, 5)
	p.Messages = 5
	p.Target.Command = append([]string{"sh", "-c", `"$0" "$@"; exit`}, p.Target.Command...)
	expect(t, mustRun(t, p), map[string]float64{"messages": 5})
}

func TestEveryClientGetsEveryMessage(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change   func(*bench.Profile)
		messages float64
	}{
		"three workers": {func(p *bench.Profile) { p.Workers, p.Window, p.Messages = 3, 8, 100 }, 100},
		"smallest":      {func(p *bench.Profile) { p.Sizes, p.Window, p.Messages = loadgen.Size(loadgen.MinSize), 64, 500 }, 500},
		"in pieces":     {func(p *bench.Profile) { p.Sizes, p.Window, p.Messages, p.Clients = loadgen.Size(64<<10), 4, 60, 20 }, 60},
		"rate":          {func(p *bench.Profile) { p.Rate, p.Messages, p.WarmUp = 500, 100, time.Millisecond }, 100},
		"mixture": {func(p *bench.Profile) {
			p.Sizes, p.Messages = loadgen.Mixture{{Size: 64, Weight: 3}, {Size: 5000, Weight: 1}}, 50
		}, 50},
	} {
		p := load(t, 60)
		test.change(&p)
		r := mustRun(t, p)
		t.Log(name)
		expect(t, r, map[string]float64{
			"messages": test.messages, "deliveries": test.messages * float64(p.Clients), "cpu_per_delivery": 0,
			"load_cpu_per_delivery": 0, "resident_memory": 0, "sends_per_delivery": 0, "delivery_p99": 0,
			"cpu_per_handshake": 0, "connect_p99": 0,
		})
		if s := value(r, "sends_per_delivery"); s > 1 {
			t.Errorf("%v sends per delivery", s)
		}
		if late := value(r, "publisher_late_p99"); (p.Rate > 0) != (late >= 0) {
			t.Errorf("publisher late: %v at a rate of %v", late, p.Rate)
		}
	}
}

// Through a veth pair it is the same; who isn't root is told that it needs that.
func TestFanoutThroughANamespace(t *testing.T) {
	p := load(t, 60)
	p.Window, p.Messages, p.Workers, p.Netns = 8, 100, 2, true
	r, err := bench.Run(t.Context(), p)
	if os.Geteuid() != 0 {
		if err == nil || !strings.Contains(err.Error(), "needs root") {
			t.Errorf("without root: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	expect(t, r, map[string]float64{"deliveries": 6000})
}

func TestMemoryOfIdleConnections(t *testing.T) {
	t.Parallel()
	p := load(t, 400)
	p.Settle, p.Messages = time.Millisecond, 1
	expect(t, mustRun(t, p), map[string]float64{
		"deliveries": 400, "user_memory_per_connection": 0, "user_memory_per_connection_after_messages": 0, "connects_per_second": 0,
	})
}

// Ctrl-C ends a run early, wherever it is, and what there is is complete.
func TestInterruptedRunsHaveAResult(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		phase  string
		change func(*bench.Profile)
		figure string
	}{
		"fanout":   {"measuring", func(*bench.Profile) {}, "cpu_per_delivery"},
		"idle":     {"settling", func(p *bench.Profile) { p.Settle = time.Hour }, "user_memory_per_connection"},
		"mute":     {"measuring", func(p *bench.Profile) { p.Target.Command, p.Messages = process(t, "faulty", "-fault", "mute"), 1 }, "cpu_per_handshake"},
		"mixed":    {"measuring", func(p *bench.Profile) { p.Stalled, p.Churn, p.Rate = 0.1, 50, 100 }, "cpu_per_delivery"},
		"rows":     {"rows", func(p *bench.Profile) { p.Rows, p.Subscribers = 50, 3 }, "to_rows_cpu_per_delivery"},
		"presence": {"measuring", func(p *bench.Profile) { p.Senders, p.Rate = 0.5, 200 }, "cpu_per_delivery"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		p := load(t, 40)
		p.Duration, p.Stall = time.Hour, time.Hour
		test.change(&p)
		told := 0
		p.Progress = func(phase string, _, of int64) {
			if phase != test.phase {
				return
			}
			if told++; of <= 1 || told > 10 { // it is under way
				cancel()
			}
		}
		r, err := bench.Run(ctx, p)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !r.Interrupted || len(r.Failures) > 0 || value(r, test.figure) <= 0 {
			t.Errorf("%s: interrupted: %v, failed: %q, %s %v", name, r.Interrupted, r.Failures, test.figure, value(r, test.figure))
		}
		cancel()
	}
}

func TestRunsThatCantBe(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*bench.Profile){
		"clients 0":               func(p *bench.Profile) { p.Clients = 0 },
		"workers 5":               func(p *bench.Profile) { p.Clients, p.Workers = 4, 5 },
		"size: 31 bytes":          func(p *bench.Profile) { p.Sizes = loadgen.Size(loadgen.MinSize - 1) },
		"window: 0":               func(p *bench.Profile) { p.Window = 0 },
		"rate: -1":                func(p *bench.Profile) { p.Rate = -1 },
		"stall: 0s":               func(p *bench.Profile) { p.Stall = 0 },
		"can't be negative":       func(p *bench.Profile) { p.Settle = -1 },
		"how long the run is":     func(p *bench.Profile) { p.Churn, p.Messages = 5, 0 },
		"descriptors":             func(p *bench.Profile) { p.Clients = 90_000_000 },
		"each by itself":          func(p *bench.Profile) { p.Rows, p.Churn = 1, 1 },
		"stalled: 26%":            func(p *bench.Profile) { p.Stalled = 0.26 },
		"stalled: 1% of":          func(p *bench.Profile) { p.Stalled = 0.01 },
		"churn: -1":               func(p *bench.Profile) { p.Churn, p.Stalled = -1, 0.1 },
		"storm: 5":                func(p *bench.Profile) { p.Storm = 5 },
		"31 subscribers":          func(p *bench.Profile) { p.Rows, p.Subscribers = 1, 31 },
		"senders: 150%":           func(p *bench.Profile) { p.Senders, p.Rate, p.Messages, p.Duration = 1.5, 1, 0, 1 },
		"senders can be checked":  func(p *bench.Profile) { p.Senders, p.Rate, p.Messages, p.Duration, p.Clients = 1, 1, 0, 1, 100_000 },
		"busbar doesn't take row": func(p *bench.Profile) { p.Rows, p.Subscribers, p.Target.Command = 1, 1, process(t, "faulty") },
	} {
		p := load(t, 30)
		p.Messages = 1
		change(&p)
		if _, err := bench.Run(t.Context(), p); !errors.Is(err, bench.ErrOptions) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want one with %q", err, want)
		}
	}
	for want, change := range map[string]func(*bench.Profile){
		"starting busbar": func(p *bench.Profile) { p.Target.Command = []string{"false"} },
		"it wrote: ":      func(p *bench.Profile) { p.Target.Command = process(t, "target", "-loops=-1") },
		"subscriptions without a snapshot": func(p *bench.Profile) { // one more than a client may have
			p.Clients, p.Subscribers, p.Rows, p.Stall = 2, 1, 10_001, 3*time.Second
		},
	} {
		p := load(t, 3)
		p.Messages = 1
		change(&p)
		r, err := bench.Run(t.Context(), p)
		if err == nil && len(r.Failures) > 0 {
			err = errors.New(r.Failures[0])
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want one with %q", err, want)
		}
	}
}
