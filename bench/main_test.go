package bench_test

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/bench"
	"github.com/busbar-ws/busbar/bench/runner"
	"github.com/busbar-ws/busbar/bench/target"
	"github.com/busbar-ws/busbar/internal/leaks"
)

// TestMain is also the processes that the bench starts: Busbar as a target, and
// a server with faults. It fails when goroutines or descriptors are left.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if run := processes[os.Args[1]]; run != nil {
			if err := run(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	_ = flag.Set("test.parallel", "4") // a scenario waits more than it works; -parallel overrides it
	leaks.Main(m)
}

var processes = map[string]func([]string) error{
	"target": func(args []string) error { return target.Main(args, os.Stdout, os.Stderr) },
	"faulty": faulty,
}

// process is the command of one of processes.
func process(t testing.TB, args ...string) []string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{path}, args...)
}

// load is a profile against Busbar; what a test cares about it changes.
func load(t testing.TB, clients int) bench.Profile {
	p := bench.Default()
	p.Clients, p.Stall, p.Workers = clients, time.Minute, 1
	p.ServerCores, p.LoadCores = nil, nil
	p.Target = runner.Target{Name: "busbar", Command: process(t, "target")}
	return p
}

// mustRun is the result of a run that has to have one.
func mustRun(t testing.TB, p bench.Profile) *bench.Result {
	t.Helper()
	r, err := bench.Run(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// value is a figure of a run, -1 when there is none.
func value(r *bench.Result, name string) float64 {
	if f := r.Figure(name); len(f.Values) > 0 {
		return f.Median
	}
	return -1
}

// expect fails unless a run counts and has these figures; anything above 0 will do for 0.
func expect(t testing.TB, r *bench.Result, want map[string]float64) {
	t.Helper()
	if len(r.Failures) > 0 || r.Faults.Any() {
		t.Errorf("failed: %q, %v", r.Failures, r.Faults)
	}
	for name, v := range want {
		if got := value(r, name); got != v && (v != 0 || got <= 0) {
			t.Errorf("%s is %v, want %v (0: anything above)", name, got, v)
		}
	}
}
