package bench_test

import (
	"testing"
	"time"

	"github.com/busbar-ws/busbar/bench"
	"github.com/busbar-ws/busbar/bench/loadgen"
	"github.com/busbar-ws/busbar/bench/runner"
)

// disturbed is a short run against Busbar; its limit for those that lag lies above what is in
// flight and is soon reached.
func disturbed(t *testing.T, policy string) bench.Profile {
	p := load(t, 40)
	p.Sizes, p.Window, p.Messages, p.Workers = loadgen.Size(4096), 4, 600, 2
	p.Target.Command = process(t, "target", "-policy", policy, "-lag-bytes=65536", "-loops=2")
	return p
}

func TestStalledClientsAreDisconnectedAndTheOthersHaveEverything(t *testing.T) {
	t.Parallel()
	p := disturbed(t, "disconnect")
	p.Stalled = 0.1
	expect(t, mustRun(t, p), map[string]float64{
		"deliveries": 600 * 36, "stalled": 4, "stalled_disconnected": 4, "resident_peak": 0,
	})
}

func TestStalledClientsLoseTheOldestMessagesAndAreTold(t *testing.T) {
	t.Parallel()
	p := disturbed(t, "drop-oldest")
	p.Stalled = 0.1
	expect(t, mustRun(t, p), map[string]float64{
		"deliveries": 600 * 36, "stalled_caught_up": 4, "stalled_told_of_loss": 4, "stalled_with_gaps": 4, "stalled_messages_lost": 0,
	})
}

func TestClientsComeAndLeave(t *testing.T) {
	t.Parallel()
	p := disturbed(t, "disconnect")
	p.Sizes, p.Rate, p.Messages, p.Churn = loadgen.Size(64), 200, 200, 100
	r := mustRun(t, p)
	expect(t, r, map[string]float64{"messages": 200, "came": value(r, "left"), "arrival_p99": 0, "text_messages": 0})
	if value(r, "came") < 10 {
		t.Errorf("%v came", value(r, "came"))
	}
}

// Those that are connected get every message while many others come, are let in and leave.
func TestClientsComeAtOnce(t *testing.T) {
	t.Parallel()
	p := disturbed(t, "disconnect")
	p.Sizes, p.Rate, p.Storm = loadgen.Size(64), 200, 500
	r := mustRun(t, p)
	expect(t, r, map[string]float64{"storm_connects_per_second": 0, "arrival_p99": 0, "deliveries": value(r, "messages") * 40})
}

func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	p := disturbed(t, "drop-oldest")
	p.Sizes = loadgen.Mixture{{Size: 128, Weight: 2}, {Size: 4096, Weight: 2}, {Size: 16384, Weight: 1}}
	p.Window, p.Churn, p.Stalled, p.Messages = 2, 100, 0.1, 300
	expect(t, mustRun(t, p), map[string]float64{"messages": 300, "stalled_caught_up": 4, "came": 0})
}

// What befalls a client that reads fails the run, whoever stalls beside it.
func TestFaultsFailTheRunOfAServerWithStalledClients(t *testing.T) {
	t.Parallel()
	for fault, want := range map[string]loadgen.Faults{
		"none": {}, "lose": {Lost: 1}, "repeat": {Repeated: 1}, "reorder": {Disordered: 1},
	} {
		p := load(t, 8)
		p.Window, p.Messages, p.Stalled = 4, 20, 0.25
		p.Target = runner.Target{Name: fault, Command: process(t, "faulty", "-fault", fault)}
		if r := mustRun(t, p); r.Faults != want || (len(r.Failures) > 0) != want.Any() {
			t.Errorf("%s: %v, failed: %q", fault, r.Faults, r.Failures)
		}
	}
}

func TestRowsReachTheirSubscribers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*bench.Profile)
		want   map[string]float64
	}{
		"window": {func(p *bench.Profile) { p.Settle = time.Millisecond }, map[string]float64{
			"subscriptions": 300, "loops": 4, "to_rows_deliveries": 300, "to_clients_deliveries": 300, "to_all_deliveries": 300,
			"rows_cpu_over_clients": 0, "rows_cpu_over_all": 0, "to_rows_wakes_per_publish": 0, "to_all_sends_per_delivery": 0, "cpu_per_subscription": 0,
		}},
		"3 workers, a rate": {func(p *bench.Profile) { p.Rate, p.Workers = 3000, 3 }, map[string]float64{"to_rows_publisher_late_max": 0}},
		"clients left over": {func(p *bench.Profile) { p.Clients, p.Rows = 32, 1 }, map[string]float64{"subscriptions": 30, "to_all_messages": 9}},
		"everyone has every row": {func(p *bench.Profile) { p.Clients, p.Subscribers, p.Messages = 5, 5, 60 },
			map[string]float64{"subscriptions": 50, "to_all_messages": 60}},
	} {
		p := load(t, 30)
		p.Rows, p.Subscribers, p.Window, p.Messages = 10, 3, 8, 100
		p.Target.Command = process(t, "target", "-loops=4")
		test.change(&p)
		t.Log(name)
		expect(t, mustRun(t, p), test.want)
	}
}

func TestPresenceReachesEveryone(t *testing.T) {
	t.Parallel()
	p := load(t, 60)
	p.Senders, p.Rate, p.Duration, p.WarmUp, p.Workers = 0.5, 300, 300*time.Millisecond, 50*time.Millisecond, 2
	p.Target.Command = process(t, "target", "-loops=2")
	r := mustRun(t, p)
	expect(t, r, map[string]float64{"messages": 90, "deliveries": 0})
	if value(r, "relayed")+value(r, "above_the_limit") != 90 {
		t.Errorf("%v relayed, %v above the limit", value(r, "relayed"), value(r, "above_the_limit"))
	}
}

// What a client sends above the server's limit is no loss, and is told apart.
func TestPresenceAboveTheLimit(t *testing.T) {
	t.Parallel()
	p := load(t, 60)
	p.Senders, p.Rate, p.Duration, p.Sizes = 0.01, 600, 300*time.Millisecond, loadgen.Size(loadgen.MinRelay) // not so much above that the server would close the connection
	r := mustRun(t, p)
	expect(t, r, map[string]float64{"above_the_limit": 0, "relayed": 0, "messages": 180})
}
