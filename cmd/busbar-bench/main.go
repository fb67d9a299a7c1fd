// Command busbar-bench measures Busbar and other WebSocket fan-out servers, and proves that the
// daemon holds. busbar-bench help lists its commands.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
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

var commands = []struct {
	name, args, doc string
	run             command
}{
	{"run", " [PRESET]", "one server under a load; flags change the preset's", measure},
	{"compare", "", "several servers in turn, and their ratios", compare},
	{"suite", "", "the comparison that README shows: fan-out, memory and handshakes of all", suite},
	{"soak", "", "the daemon under clients of every manner for an hour: what is left of them", soak},
	{"chaos", "", "the daemon killed, stopped, without power, disk, database or API port", chaos},
	{"recovery", "", "clients that lose the daemon (kill -9) and come back: until all have everything", recovery},
	{"logs", "", "change logs in turn: what a delivery costs with each", logs},
	{"target", "", "Busbar as it is measured; the other commands start it",
		func(_ context.Context, args []string, s streams) error { return target.Main(args, s.out, s.err) }},
}

func usage(w io.Writer) {
	fmt.Fprint(w, "usage: busbar-bench COMMAND [flags]\n\n")
	for _, c := range commands {
		fmt.Fprintf(w, "  %-12s  %s\n", c.name+c.args, c.doc)
	}
	fmt.Fprint(w, "\npresets of run:\n\n")
	for _, p := range bench.Presets() {
		fmt.Fprintf(w, "  %-12s  %s\n", p.Name, p.Doc)
	}
	fmt.Fprint(w, "\nbusbar-bench COMMAND -help lists a command's flags, busbar-bench run PRESET -help a preset's.\n")
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
		usage(s.out)
		return exitOK
	}
	for _, c := range commands {
		if c.name == args[0] {
			return exitCode(ctx, c.run(ctx, args[1:], s), s)
		}
	}
	fmt.Fprintf(s.err, "busbar-bench: %q isn't a command; busbar-bench help lists them\n", args[0])
	return exitUsage
}

// exitCode says what went wrong, if anything did.
func exitCode(ctx context.Context, err error, s streams) int {
	var wrong usageError
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintln(s.err, "busbar-bench: interrupted before anything was measured")
		return exitOK
	}
	fmt.Fprintf(s.err, "busbar-bench: %v\n", err)
	if errors.As(err, &wrong) || errors.Is(err, bench.ErrOptions) {
		return exitUsage
	}
	return exitFailure
}
