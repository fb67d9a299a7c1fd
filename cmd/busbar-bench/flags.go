package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/busbar-ws/busbar/bench"
	"github.com/busbar-ws/busbar/bench/runner"
	"github.com/busbar-ws/busbar/hub/auth"
)

// usageError is a mistake on the command line. The process exits with 2.
type usageError string

func (e usageError) Error() string { return string(e) }

func usagef(format string, args ...any) error { return usageError(fmt.Sprintf(format, args...)) }

// flags are those of a command that measures. What a profile has is bound to its fields.
type flags struct {
	set      *flag.FlagSet
	profile  bench.Profile
	peers    string
	args     string // of Busbar as a target
	sessions bool
	json     string
	html     string
	line     string        // the command line, for reports
	server   runner.Target // beside those with names
}

func newFlags(name string, preset bench.Preset, s streams) *flags {
	f := &flags{set: flag.NewFlagSet("busbar-bench "+name, flag.ContinueOnError), profile: preset.Profile}
	p := &f.profile
	f.set.SetOutput(s.out)
	f.set.StringVar(&f.peers, "peers", "", "`program` that has the other servers in it (bench/peers); default peers, beside this program or in PATH")
	f.set.StringVar(&f.args, "args", preset.Args, "`arguments` of Busbar as a target, separated by spaces: busbar-bench target -help lists them")
	f.set.BoolVar(&f.sessions, "sessions", false, "clients bring the token of a session in a SQLite file, which Busbar looks up there the first time")
	f.set.IntVar(&p.Clients, "clients", p.Clients, "connections")
	f.set.IntVar(&p.Workers, "workers", p.Workers, "threads that hold them; 0: as many as cores of the load")
	f.set.IntVar(&p.Pace, "pace", p.Pace, "connections that a worker may have under way at once")
	f.set.DurationVar(&p.Stall, "stall", p.Stall, "give up when nothing was connected, or no message came to its last client, for so long, or when one goes out so much later than -rate has it due")
	f.set.BoolVar(&p.Netns, "netns", false, "connect from a network namespace of their own, through a veth pair that the bench makes and removes; needs root and iproute2")
	f.set.Var(&p.ServerCores, "server-cores", "`cores` of the server, such as 0 or 0-1; none: not pinned")
	f.set.Var(&p.LoadCores, "load-cores", "`cores` of the load; none: not pinned")
	f.set.StringVar(&p.Token, "token", "", "bearer `token` of every client")
	f.set.Var(&p.Sizes, "size", "bytes of a message, at least 32; `SIZE:WEIGHT,…` mixes several")
	f.set.IntVar(&p.Window, "window", p.Window, "messages in flight, with -rate 0")
	f.set.Float64Var(&p.Rate, "rate", p.Rate, "messages a second, whether or not the server keeps up; 0: as the window allows")
	f.set.IntVar(&p.Messages, "messages", p.Messages, "end after so many messages; 0: after -duration")
	f.set.DurationVar(&p.Duration, "duration", p.Duration, "end after this time, when -messages is 0")
	f.set.DurationVar(&p.WarmUp, "warm-up", p.WarmUp, "before measuring")
	f.set.DurationVar(&p.Settle, "settle", p.Settle, "before memory is looked at; 0: it isn't")
	f.set.StringVar(&f.json, "json", "", "write the result to a `file`")
	f.set.StringVar(&f.html, "html", "", "write a report with charts to a `file`")
	return f
}

// crowd adds what clients do beside reading.
func (f *flags) crowd() {
	p := &f.profile
	f.set.Var(&p.Stalled, "stalled", "`share` of the clients that stop reading, such as 1% or 0.01; at most 25%")
	f.set.Float64Var(&p.Churn, "churn", p.Churn, "clients a second that leave, half with Close and half with RST, and that come")
	f.set.IntVar(&p.Storm, "storm", p.Storm, "clients that connect as fast as they can, and leave as soon as they are connected; the run takes as long as they do")
	f.set.IntVar(&p.Rows, "rows", p.Rows, "rows that each client subscribes to; messages go to rows")
	f.set.IntVar(&p.Subscribers, "subscribers", p.Subscribers, "clients that each row has")
	f.set.Var(&p.Senders, "senders", "`share` of the clients that send presence messages to all, -rate a second together")
}

// read reads a command line. A mistake is told in one line.
func (f *flags) read(args []string) error {
	f.line = strings.Join(append([]string{f.set.Name()}, args...), " ")
	out := f.set.Output()
	f.set.SetOutput(io.Discard)
	err := f.set.Parse(args)
	f.set.SetOutput(out)
	switch {
	case errors.Is(err, flag.ErrHelp):
		f.set.Usage()
		return err
	case err != nil:
		return usagef("%v; %s -help lists the flags", err, f.set.Name())
	case f.set.NArg() > 0:
		return usagef("%q: unexpected argument", f.set.Arg(0))
	}
	return nil
}

// parse reads the command line and pins this process to the cores of the load.
func (f *flags) parse(args []string) error {
	if err := f.read(args); err != nil {
		return err
	}
	if err := f.writable(); err != nil {
		return err
	}
	p := &f.profile
	given := map[string]bool{}
	f.set.Visit(func(v *flag.Flag) { given[v.Name] = true })
	switch {
	case given["window"] && p.Rate > 0:
		return usagef("-window has no meaning at a rate, and -rate is %v here; -rate 0 would go with it", p.Rate)
	case given["messages"] && given["duration"]:
		return usagef("-messages and -duration: a run ends after one of the two")
	case (f.server.Command == nil) != (f.server.Address == ""):
		return usagef("-server and -address: the bench starts a server and connects to it; it needs both")
	case f.sessions && p.Token != "":
		return usagef("-sessions and -token: clients bring one of the two")
	}
	return runner.Pin(p.LoadCores)
}

// writable looks at where results are to go before they have been measured.
func (f *flags) writable() error {
	if f.json != "" && f.json == f.html {
		return usagef("-json and -html: each needs a file of its own")
	}
	return errors.Join(writable("json", f.json), writable("html", f.html))
}

func writable(name, path string) error {
	switch path {
	case "":
		return nil
	case "-":
		return usagef("-%s -: a file, standard output has the table", name)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return usagef("-%s %s: %v", name, path, err)
	}
	return file.Close()
}

// self is this program, which is also Busbar's target.
func self(args ...string) ([]string, error) {
	path, err := os.Executable()
	return append([]string{path}, args...), err
}

// targets turns a list of names into commands.
func (f *flags) targets(ctx context.Context, names string) (targets []runner.Target, remove func(), err error) {
	remove = func() {}
	own := strings.Fields(f.args)
	if f.sessions {
		var file string
		if file, f.profile.Token, remove, err = newSession(ctx); err != nil {
			return nil, nil, err
		}
		own = append(own, "-sessions="+file)
	}
	busbar := false
	for name := range strings.SplitSeq(names, ",") {
		name = strings.TrimSpace(name)
		t, err := f.target(name, own)
		if err != nil {
			remove()
			return nil, nil, err
		}
		busbar = busbar || name == "busbar"
		targets = append(targets, t)
	}
	if f.server.Address != "" {
		f.server.Name = filepath.Base(f.server.Command[0])
		targets = append(targets, f.server)
	}
	if len(own) > 0 && !busbar {
		remove()
		return nil, nil, usagef("-args and -sessions are for the target busbar; %s doesn't get them", names)
	}
	return targets, remove, nil
}

// target turns a name into a command; own are Busbar's arguments.
func (f *flags) target(name string, own []string) (t runner.Target, err error) {
	label, program, given := strings.Cut(name, "=")
	t.Name = label
	switch {
	case label == "" || given && len(strings.Fields(program)) == 0:
		return t, usagef("%q: NAME, or NAME=COMMAND with both", name)
	case given:
		t.Command = strings.Fields(program)
	case name == "busbar":
		t.Command, err = self(append([]string{"target"}, own...)...)
	default:
		program, err = f.peerOf(name)
		t.Command = []string{program, name}
	}
	return t, err
}

// peerOf finds the program that has the server of a name, and asks it whether it does.
func (f *flags) peerOf(name string) (program string, err error) {
	program = f.peers
	if me, err := self(); program == "" && err == nil {
		if program, err = exec.LookPath(filepath.Join(filepath.Dir(me[0]), "peers")); err != nil {
			program = "peers"
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), listPatience)
	defer cancel()
	ask := exec.CommandContext(ctx, program, "list") //nolint:gosec // what the user asked for
	ask.WaitDelay = time.Second                      // for what the program has started, and left
	list, err := ask.Output()
	if err != nil {
		return "", usagef("%s: -peers %s: %v; bench/peers/build makes bin/peers", name, program, err)
	}
	if names := strings.Fields(string(list)); !slices.Contains(names, name) {
		return "", usagef("%s has no server %q, only %s", program, name, strings.Join(names, ", "))
	}
	return program, nil
}

// listPatience is how long a program of peers may take to list them.
const listPatience = 5 * time.Second

// newSession makes a SQLite file with one session. It is gone after remove, and when ctx ends: a
// second Ctrl-C ends this process before remove is called.
func newSession(ctx context.Context) (file, token string, remove func(), err error) {
	folder, err := os.MkdirTemp("", "busbar-bench")
	if err != nil {
		return "", "", nil, fmt.Errorf("making a folder for sessions: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { os.RemoveAll(folder) })
	remove = func() { stop(); os.RemoveAll(folder) }
	file = filepath.Join(folder, "sessions.db")
	table, err := auth.OpenSessions(file, auth.SessionOptions{})
	if err == nil {
		token, _, err = table.Create(ctx, "bench", "", time.Hour, "")
		err = errors.Join(err, table.Close())
	}
	if err != nil {
		remove()
		return "", "", nil, fmt.Errorf("making a session: %w", err)
	}
	return file, token, remove, nil
}
