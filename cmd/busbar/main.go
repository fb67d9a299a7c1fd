// Command busbar is a WebSocket fan-out server: one feed in, every socket out.
//
//	busbar [serve]            run the server
//	busbar reload             have a running server read its configuration again
//	busbar session …          create, list and revoke sessions
//	busbar publish …          publish to a running server
//	busbar tail               connect and print what arrives
//	busbar log bump           make clients' cursors from before a restored backup too old
//	busbar log copy           move the change log and rows from disk to NATS, or back
//	busbar config             print what is in force, and from where
//	busbar doctor             look at what limits this host
//	busbar health             ask the server on this host how it is
//	busbar why                say whether a client was sent an event, and if not why
//	busbar version            print the version
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/busbar-ws/busbar/internal/cli"
	"github.com/busbar-ws/busbar/internal/logqueue"
)

// version is set by the build (scripts/build).
var version = "dev"

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1 // something couldn't be done
	exitUsage   = 2 // a flag, a value or a command is wrong
)

// streams are a command's surroundings, so that tests can run one in this process.
type streams struct {
	in       io.Reader
	out, err io.Writer
	getenv   func(string) string
	environ  func() []string
}

// command runs with the arguments behind its name. usageErrors exit with 2, flag.ErrHelp
// with 0, anything else with 1 and one line.
type command func(args []string, s streams) error

var commands = map[string]command{
	"serve":   serve,
	"session": session,
	"reload":  reloadCommand,
	"publish": publish,
	"tail":    tail,
	"log":     changeLog,
	"config":  printConfig,
	"doctor":  examineHost,
	"health":  health,
	"version": printVersion,
	"why":     why,
}

func main() {
	s := streams{os.Stdin, os.Stdout, os.Stderr, os.Getenv, os.Environ}
	os.Exit(run(os.Args[1:], s))
}

// run picks the command: the first argument, or serve when that is a flag or absent.
func run(args []string, s streams) int {
	name := "serve"
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		name, args = args[0], args[1:]
	}
	if name == "help" && len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], append(args[1:], "-help")
	}
	c := commands[name]
	if c == nil {
		fmt.Fprintf(s.err, "busbar: %q isn't a command; there are serve, reload, session, publish, tail, log, config, doctor, health, why, help and version; -help says more\n", name)
		return exitUsage
	}
	if name != "serve" { // which logs it as its flags say
		warnOfMisspelt(commandLog(s), s.environ())
	}
	err := c(args, s)
	var usage cli.UsageError
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.As(err, &usage):
		report(s.err, err)
		return exitUsage
	default:
		report(s.err, err)
		return exitFailure
	}
}

// report writes the last line. A pipe that nobody reads doesn't keep the process from ending.
func report(w io.Writer, err error) {
	q := logqueue.New(w)
	fmt.Fprintf(q, "busbar: %v\n", err)
	q.Close(flushTime)
}

// runVerb runs the one of verbs that the first argument names.
func runVerb(name, usage string, verbs map[string]command, args []string, s streams) error {
	known := strings.Join(slices.Sorted(maps.Keys(verbs)), ", ")
	if len(args) == 0 {
		return cli.Usagef("%s: say what to do: %s; busbar %s -help shows more", name, known, name)
	}
	if verb := verbs[args[0]]; verb != nil {
		return verb(args[1:], s)
	}
	if asksForHelp(args[:1]) {
		err := errors.Join(flag.ErrHelp, writeHelp(s.out, cli.New("busbar "+name, usage)))
		if t, ok := s.out.(*tables); ok {
			t.askEach(verbs, s)
		}
		return err
	}
	return cli.Usagef("%s: %q isn't one of %s; busbar %s -help shows more", name, args[0], known, name)
}

// parseOrHelp reads the arguments, and writes the help when that is what they ask for.
func parseOrHelp(t *cli.Set, args []string, s streams) (operands []string, err error) {
	operands, err = t.Parse(args, s.getenv)
	if errors.Is(err, flag.ErrHelp) {
		return nil, errors.Join(err, writeHelp(s.out, t))
	}
	return operands, err
}

// asksForHelp is whether that is all that the arguments do.
func asksForHelp(args []string) bool {
	return len(args) == 1 && slices.Contains([]string{"-h", "-help", "--help"}, args[0])
}

// commandLog takes what the packages below a command have to say.
func commandLog(s streams) *slog.Logger { return slog.New(slog.NewTextHandler(s.err, nil)) }

const versionUsage = `Prints the version, and what it was built with.

Usage: busbar version
`

func printVersion(args []string, s streams) error {
	if asksForHelp(args) {
		return errors.Join(flag.ErrHelp, writeHelp(s.out, cli.New("busbar version", versionUsage)))
	}
	if len(args) > 0 {
		return cli.Usagef("version takes no arguments")
	}
	fmt.Fprintf(s.out, "busbar %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
