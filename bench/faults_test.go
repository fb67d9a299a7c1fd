package bench_test

import (
	"strings"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/bench"
)

// against runs a few messages against the server with a fault.
func against(t *testing.T, fault string) *bench.FanoutResult {
	t.Helper()
	o := bench.FanoutOptions{Options: options(t, 5), Window: 4, Messages: 20}
	o.Target = bench.Target{Name: fault, Command: process(t, "faulty", "-fault", fault)}
	if fault == "silence" {
		o.Stall = 3 * time.Second
	}
	r, err := bench.Fanout(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The checks can fail: each fault is found, counted and makes the run fail.
func TestFaultsFailTheRun(t *testing.T) {
	t.Parallel()
	tests := []struct {
		fault string
		want  bench.Faults
	}{
		{"lose", bench.Faults{Lost: 1}},
		{"repeat", bench.Faults{Repeated: 1}},
		{"reorder", bench.Faults{Disordered: 1}},
		{"shorten", bench.Faults{Foreign: 1, Lost: 1}},
	}
	for _, test := range tests {
		t.Run(test.fault, func(t *testing.T) {
			r := against(t, test.fault)
			if r.Report.Faults != test.want {
				t.Errorf("found: %v; want: %v", r.Report.Faults, test.want)
			}
			if r.Failed == "" {
				t.Error("the run didn't fail")
			}
		})
	}
}

// A connection that ends, or a client that gets nothing any more, loses all messages from
// there on: the warm-up's 4 and the run's 20, less the 10 that it had.
func TestClientsThatAreLeftOutFailTheRun(t *testing.T) {
	t.Parallel()
	ended := against(t, "end")
	if ended.Report.Ended != 1 || ended.Report.Lost != 14 || ended.Failed == "" {
		t.Errorf("a connection ended: %v, failed: %q", ended.Report.Faults, ended.Failed)
	}
	if !strings.Contains(ended.Failed, "it wrote: a client is unwanted") {
		t.Errorf("the failure doesn't say what the server wrote: %q", ended.Failed)
	}
	silent := against(t, "silence")
	if silent.Report.Ended != 0 || silent.Report.Lost != 4 || silent.Failed == "" {
		t.Errorf("a client got nothing: %v, failed: %q", silent.Report.Faults, silent.Failed)
	}
}

// The same server without a fault passes, so that it is the faults that fail.
func TestServerWithoutFaultsPasses(t *testing.T) {
	if r := against(t, "none"); r.Failed != "" || r.Deliveries != 100 || r.Sends != -1 {
		t.Errorf("failed: %q, %d deliveries, %v sends per delivery", r.Failed, r.Deliveries, r.Sends)
	}
}

func TestLatencyHasTheServersDelay(t *testing.T) {
	r := against(t, "delay")
	if r.Failed != "" || time.Duration(r.Latency.P50) < faultyDelay || r.Latency.Count != 100 {
		t.Errorf("failed: %q, %d latencies, p50 %v; the server waits %v", r.Failed, r.Latency.Count,
			time.Duration(r.Latency.P50), faultyDelay)
	}
}

// A command that starts the server, a script or a tracer, ends with it: nothing is left, and the
// bench doesn't wait for it.
func TestCommandAroundTheServer(t *testing.T) {
	o := bench.FanoutOptions{Options: options(t, 5), Messages: 5}
	o.Target.Command = append([]string{"sh", "-c", `"$0" "$@"; exit`}, o.Target.Command...)
	r, err := bench.Fanout(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Failed != "" || r.Messages != 5 {
		t.Errorf("%d messages, failed: %q", r.Messages, r.Failed)
	}
}
