package bench_test

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/bench"
	"github.com/busbar-ws/busbar/bench/target"
	"github.com/busbar-ws/busbar/internal/leaks"
)

// TestMain is also the processes that the bench starts: workers, Busbar as a target, and
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
	"worker": func([]string) error { return bench.RunWorker(os.Stdin, os.Stdout) },
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

// options are a run against Busbar; what a test cares about it changes.
func options(t testing.TB, clients int) bench.Options {
	return bench.Options{
		Target: bench.Target{Name: "busbar", Command: process(t, "target")},
		Load:   bench.LoadOptions{Worker: process(t, "worker"), Clients: clients},
		Stall:  time.Minute,
	}
}
