// Command busbar-bench measures Busbar and other WebSocket fan-out servers:
//
//	busbar-bench run [PRESET] …  one server under a load
//	busbar-bench compare …       several servers in turn, and their ratios
//	busbar-bench suite …         the comparison that README shows
//	busbar-bench soak …          the daemon under clients that come and go: what is left of them
//	busbar-bench chaos …         the daemon without what it stands on
//	busbar-bench recovery …      clients that lose the daemon (kill -9) and come back with their cursors
//	busbar-bench logs …          change logs in turn: what a delivery costs with each
//	busbar-bench target …        Busbar as it is measured; the other commands start it
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/busbar-ws/busbar/bench"
	"github.com/busbar-ws/busbar/bench/target"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1 // a run failed, or couldn't be made
	exitUsage   = 2 // a flag, a value or a command is wrong
)

// streams are a command's surroundings, so that tests can run one in this process.
type streams struct {
	out, err io.Writer
}

// command runs until its work is done or ctx ends; then it prints what there is.
type command func(ctx context.Context, args []string, s streams) error

var commands = map[string]command{
	"run":      measure,
	"compare":  compare,
	"suite":    suite,
	"soak":     soak,
	"chaos":    chaos,
	"logs":     logs,
	"recovery": recovery,
	"target":   func(_ context.Context, args []string, s streams) error { return target.Main(args, s.out, s.err) },
}

const usageText = `usage: busbar-bench COMMAND [flags]

  run [PRESET]  one server under a load; flags change the preset's
  compare       several servers in turn, and their ratios
  suite         the comparison that README shows: fan-out, memory and handshakes of all
  soak          the daemon under clients of every manner for an hour: what is left of them
  chaos         the daemon killed, stopped, without power, disk, database or API port
  recovery      clients that lose the daemon (kill -9) and come back: until all have everything
  logs          change logs in turn: what a delivery costs with each
  target        Busbar as it is measured; the other commands start it

presets of run:

%s
busbar-bench COMMAND -help lists a command's flags, busbar-bench run PRESET -help a preset's.
`

func usage() string {
	var presets strings.Builder
	for _, p := range bench.Presets() {
		fmt.Fprintf(&presets, "  %-12s  %s\n", p.Name, p.Doc)
	}
	return fmt.Sprintf(usageText, presets.String())
}

func main() {
	os.Exit(run(untilInterrupted(), os.Args[1:], streams{os.Stdout, os.Stderr}))
}

// oneSignal is how close together signals are one: timeout(1) signals a process and its group.
const oneSignal = 500 * time.Millisecond

// untilInterrupted ends with Ctrl-C or SIGTERM. A second one, oneSignal later, ends the process.
func untilInterrupted() context.Context {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	afterOneSignal(ctx, stop)
	return ctx
}

// afterOneSignal has signals do what they do without us, some time after the first ended ctx.
func afterOneSignal(ctx context.Context, stop func()) {
	context.AfterFunc(ctx, func() { time.AfterFunc(oneSignal, stop) })
}

func run(ctx context.Context, args []string, s streams) int {
	if len(args) == 0 || args[0] == "-h" || args[0] == "-help" || args[0] == "--help" || args[0] == "help" {
		fmt.Fprint(s.out, usage())
		return exitOK
	}
	c := commands[args[0]]
	if c == nil {
		fmt.Fprintf(s.err, "busbar-bench: %q isn't a command; busbar-bench help lists them\n", args[0])
		return exitUsage
	}
	err := c(ctx, args[1:], s)
	var wrong usageError
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.As(err, &wrong) || errors.Is(err, bench.ErrOptions):
		fmt.Fprintf(s.err, "busbar-bench: %v\n", err)
		return exitUsage
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintln(s.err, "busbar-bench: interrupted before anything was measured")
		return exitOK
	}
	fmt.Fprintf(s.err, "busbar-bench: %v\n", err)
	return exitFailure
}
