package bench_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/bench"
)

// checkExact fails unless every one of the clients got all messages, those of the warm-up
// included.
func checkExact(t *testing.T, r *bench.FanoutResult, warmUp uint64) {
	t.Helper()
	clients := uint64(r.Clients)
	if r.Failed != "" {
		t.Error(r.Failed)
	}
	if r.Deliveries != r.Messages*clients || r.Latency.Count != r.Deliveries {
		t.Errorf("%d deliveries, %d latencies of %d messages to %d clients", r.Deliveries, r.Latency.Count, r.Messages, clients)
	}
	if want := (r.Messages + warmUp) * clients; r.Report.Deliveries != want {
		t.Errorf("%d deliveries with the warm-up; want %d", r.Report.Deliveries, want)
	}
	if r.CPU.Process <= 0 || r.CPU.Load <= 0 || r.Memory.Resident <= 0 || r.Sends <= 0 || r.Sends > 1 {
		t.Errorf("CPU %+v, memory %+v, %v sends per delivery", r.CPU, r.Memory, r.Sends)
	}
}

// Through a veth pair it is the same; who isn't root is told that it needs that.
func TestFanoutThroughANamespace(t *testing.T) {
	o := bench.FanoutOptions{Options: options(t, 60), Window: 8, Messages: 100}
	o.Load.Workers, o.Load.Namespace = 2, true
	r, err := bench.Fanout(t.Context(), o)
	if os.Geteuid() != 0 {
		if err == nil || !strings.Contains(err.Error(), "needs root") {
			t.Errorf("without root: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	checkExact(t, r, 8)
	if !r.Namespace {
		t.Error("the result doesn't say it")
	}
}

func TestFanoutToBusbar(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		change  func(*bench.FanoutOptions)
		warmUp  uint64
		workers int
	}{
		{"one at a time", func(o *bench.FanoutOptions) { o.Messages = 30 }, 1, 1},
		{"window", func(o *bench.FanoutOptions) { o.Window, o.Messages = 64, 1000 }, 64, 1},
		{"three workers", func(o *bench.FanoutOptions) { o.Load.Workers, o.Window, o.Messages = 3, 8, 100 }, 8, 3},
		{"smallest", func(o *bench.FanoutOptions) { o.Size, o.Window, o.Messages = bench.MinSize, 5, 50 }, 5, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := bench.FanoutOptions{Options: options(t, 100)}
			test.change(&o)
			r, err := bench.Fanout(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			checkExact(t, r, test.warmUp)
			if r.Workers != test.workers || r.Messages != uint64(o.Messages) {
				t.Errorf("%d workers, %d messages", r.Workers, r.Messages)
			}
		})
	}
}

// Messages of 64 KiB come in several reads.
func TestFanoutOfLargeMessages(t *testing.T) {
	t.Parallel()
	o := bench.FanoutOptions{Options: options(t, 20), Size: 64 << 10, Window: 4, Messages: 60}
	r, err := bench.Fanout(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	checkExact(t, r, 4)
}

func TestFanoutAtARate(t *testing.T) {
	t.Parallel()
	o := bench.FanoutOptions{Options: options(t, 50), Rate: 500, Messages: 100, WarmUp: time.Millisecond}
	r, err := bench.Fanout(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	checkExact(t, r, r.Report.Deliveries/50-r.Messages) // the warm-up is as long as the machine made it
	if r.Seconds < 99.0/500 || r.Late.Count != 100 {
		t.Errorf("100 messages at 500 a second took %v s; lateness of %d is known", r.Seconds, r.Late.Count)
	}
}

// Ctrl-C ends a run early; what there is is complete.
func TestInterruptedFanoutHasAResult(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := bench.FanoutOptions{Options: options(t, 10), Duration: time.Hour}
	o.Progress = func(phase string, done, _ int64) {
		if phase == "measuring" && done > 0 {
			cancel()
		}
	}
	r, err := bench.Fanout(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Interrupted || r.Messages == 0 {
		t.Errorf("interrupted: %v, %d messages", r.Interrupted, r.Messages)
	}
	checkExact(t, r, 1)
}

func TestRunsThatCantBe(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*bench.FanoutOptions)
		want   string
	}{
		{"no end", func(o *bench.FanoutOptions) { o.Messages = 0 }, "messages or duration"},
		{"too small", func(o *bench.FanoutOptions) { o.Size = bench.MinSize - 1 }, "size: 31 bytes"},
		{"no clients", func(o *bench.FanoutOptions) { o.Load.Clients = 0 }, "0 clients"},
		{"target ends", func(o *bench.FanoutOptions) { o.Target.Command = []string{"false"} }, "starting busbar"},
		{"target complains", func(o *bench.FanoutOptions) { o.Target.Command = process(t, "target", "-loops=-1") }, "it wrote: "},
		{"worker ends", func(o *bench.FanoutOptions) { o.Load.Worker = []string{"false"} }, "a worker ended"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := bench.FanoutOptions{Options: options(t, 3), Messages: 1}
			test.change(&o)
			_, err := bench.Fanout(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v; want one with %q", err, test.want)
			}
		})
	}
}
