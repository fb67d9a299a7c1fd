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
)

// usageError is a mistake on the command line. The process exits with 2.
type usageError string

func (e usageError) Error() string { return string(e) }

func usagef(format string, args ...any) error { return usageError(fmt.Sprintf(format, args...)) }

// shared are the flags that all scenarios have.
type shared struct {
	set         *flag.FlagSet
	target      string
	peers       string
	loops       int
	clients     int
	workers     int
	pace        int
	stall       time.Duration
	netns       bool
	serverCores string
	loadCores   string
	json        string
	busbar      []string // arguments of Busbar as a target
	token       string
	html        string
	line        string // the command line, for reports
}

func newFlags(name string, s streams) *shared {
	f := &shared{set: flag.NewFlagSet("busbar-bench "+name, flag.ContinueOnError)}
	f.set.SetOutput(s.out)
	f.set.StringVar(&f.peers, "peers", "", "`program` that has the other servers in it (bench/peers); default peers, beside this program or in PATH")
	if name != "loops" { // which has -counts
		f.set.IntVar(&f.loops, "loops", 0, "event loops of Busbar; 0: one for each of its cores")
	}
	f.set.IntVar(&f.clients, "clients", 1000, "connections")
	f.set.IntVar(&f.workers, "workers", 0, "processes that hold them; 0: as many as descriptors and cores ask for")
	f.set.IntVar(&f.pace, "pace", 128, "connections that a worker may have under way at once")
	f.set.DurationVar(&f.stall, "stall", 10*time.Second, "give up when nothing was connected, or no message came to its last client, for so long, or when one goes out so much later than -rate has it due")
	f.set.BoolVar(&f.netns, "netns", false, "connect from a network namespace of their own, through a veth pair that the bench makes and removes; needs root and iproute2")
	f.set.StringVar(&f.serverCores, "server-cores", "auto", "`cores` of the server, such as 0 or 0-1; auto: the first; none: not pinned")
	f.set.StringVar(&f.loadCores, "load-cores", "auto", "`cores` of the load; auto: all but the first; none: not pinned")
	f.set.StringVar(&f.token, "token", "", "bearer `token` of every client")
	f.set.StringVar(&f.json, "json", "", "write the result to a `file`")
	f.set.StringVar(&f.html, "html", "", "write a report with charts to a `file`")
	return f
}

func (f *shared) oneTarget() {
	f.set.StringVar(&f.target, "target", "busbar", "busbar, a `name` that the program of -peers knows, or NAME=COMMAND")
}

func (f *shared) parse(args []string) error {
	if len(args) > 0 && (args[0] == "-help" || args[0] == "--help" || args[0] == "-h") {
		f.set.Usage()
		return flag.ErrHelp
	}
	f.line = strings.Join(append([]string{f.set.Name()}, args...), " ")
	f.set.SetOutput(io.Discard) // mistakes are told in one line
	if err := f.set.Parse(args); err != nil {
		return usagef("%v; %s -help lists the flags", err, f.set.Name())
	}
	if err := errors.Join(writable("json", f.json), writable("html", f.html)); err != nil {
		return err
	}
	if f.json != "" && filepath.Clean(f.json) == filepath.Clean(f.html) {
		return usagef("-json and -html are both %s; the second would replace the first", f.json)
	}
	if f.set.NArg() > 0 {
		return usagef("%q: unexpected argument", f.set.Arg(0))
	}
	if f.clients < 1 || f.workers < 0 || f.pace < 1 || f.loops < 0 {
		return usagef("-clients and -pace must be at least 1, -workers and -loops at least 0")
	}
	if f.workers > f.clients && f.set.Lookup("connections") == nil {
		return usagef("-workers %d: more than -clients %d", f.workers, f.clients)
	}
	for _, name := range []string{"loops", "policy", "lag-time", "lag-bytes", "accept-rate", "accept-burst"} {
		if f.given(name) && f.target != "" && f.target != "busbar" {
			return usagef("-%s is for -target busbar; %s doesn't get it", name, f.target)
		}
	}
	if rate := f.set.Lookup("rate"); f.given("window") && rate != nil && rate.Value.String() != "0" {
		return usagef("-window has no meaning at a rate, and -rate is %v here; -rate 0 would go with it", rate.Value)
	}
	if f.stall <= 0 {
		return usagef("-stall %v: it must be above 0", f.stall)
	}
	return nil
}

// given is whether a flag is on the command line.
func (f *shared) given(name string) (yes bool) {
	f.set.Visit(func(v *flag.Flag) { yes = yes || v.Name == name })
	return yes
}

// writable looks at where a result is to go before it has been measured.
func writable(flag, path string) error {
	if path == "" {
		return nil
	}
	if path == "-" {
		return usagef("-%s -: a file, standard output has the table", flag)
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return usagef("-%s %s: that is a folder", flag, path)
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return usagef("-%s %s: %v", flag, path, err)
	}
	return nil
}

// self is this program, which is also Busbar's target and the workers.
func self(args ...string) ([]string, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	return append([]string{path}, args...), nil
}

// resolve turns a target's name into a command.
func (f *shared) resolve(name string) (bench.Target, error) {
	if label, program, ok := strings.Cut(name, "="); ok {
		if label == "" || len(strings.Fields(program)) == 0 {
			return bench.Target{}, usagef("-target %q: NAME=COMMAND needs both", name)
		}
		return bench.Target{Name: label, Command: strings.Fields(program)}, nil
	}
	if name == "" {
		return bench.Target{}, usagef("a target without a name")
	}
	if name != "busbar" {
		program, err := f.peerOf(name)
		return bench.Target{Name: name, Command: []string{program, name}}, err
	}
	c, err := self(append([]string{"target", fmt.Sprintf("-loops=%d", f.loops)}, f.busbar...)...)
	return bench.Target{Name: name, Command: c}, err
}

// peerOf finds the program that has the server of a name, and asks it whether it does.
func (f *shared) peerOf(name string) (program string, err error) {
	program = f.peers
	if program == "" {
		program = "peers"
		if me, err := os.Executable(); err == nil {
			if beside, err := exec.LookPath(filepath.Join(filepath.Dir(me), program)); err == nil {
				program = beside
			}
		}
	}
	if _, err := exec.LookPath(program); err != nil {
		return "", usagef("%s: -peers %s: there is no such program; (cd bench/peers && go build -o ../../bin/peers .) "+
			"makes bin/peers", name, program)
	}
	ctx, cancel := context.WithTimeout(context.Background(), listPatience)
	defer cancel()
	ask := exec.CommandContext(ctx, program, "list") //nolint:gosec // what the user asked for
	ask.WaitDelay = time.Second                      // for what the program has started, and left
	list, err := ask.Output()
	if err != nil {
		return program, nil //nolint:nilerr // one that can't list its servers says so when they are started
	}
	if names := strings.Fields(string(list)); !slices.Contains(names, name) {
		return "", usagef("%s has no server %q, only %s", program, name, strings.Join(names, ", "))
	}
	return program, nil
}

// listPatience is how long a program of peers may take to list them.
const listPatience = 5 * time.Second

// cores reads the two core flags and pins this process.
func (f *shared) cores() (bench.Cores, error) {
	c := bench.DefaultCores()
	for _, v := range []struct {
		name, list string
		cores      *[]int
	}{{"server-cores", f.serverCores, &c.Server}, {"load-cores", f.loadCores, &c.Load}} {
		switch v.list {
		case "auto":
			continue
		case "none":
			*v.cores = nil
			continue
		}
		var err error
		if *v.cores, err = bench.ParseCores(v.list); err != nil {
			return c, usagef("-%s: %v", v.name, err)
		}
		if err = bench.CheckCores(*v.cores); err != nil {
			return c, usagef("-%s %s: %v", v.name, v.list, err)
		}
	}
	return c, c.Pin()
}

// options turns the flags into what the scenarios take, with the progress shown on s.err.
func (f *shared) options(b *bar) (bench.Options, error) {
	cores, err := f.cores()
	if err != nil {
		return bench.Options{}, err
	}
	worker, err := self("worker")
	if err != nil {
		return bench.Options{}, err
	}
	o := bench.Options{
		Server: cores.Server, Progress: b.show, Stall: f.stall,
		Load: bench.LoadOptions{
			Worker: worker, Workers: f.workers, Clients: f.clients, Pace: f.pace, Stall: f.stall, Cores: cores.Load,
			Token:     f.token,
			Namespace: f.netns,
		},
	}
	if f.target != "" {
		o.Target, err = f.resolve(f.target)
	}
	return o, err
}

// fanoutFlags are what a fan-out is like.
type fanoutFlags struct {
	size, window, messages int
	rate                   float64
	duration, warmUp       time.Duration
}

func (f *shared) fanout() *fanoutFlags {
	o := f.fanoutAtRate()
	f.set.IntVar(&o.window, "window", 1, "messages in flight, with -rate 0")
	f.set.Lookup("rate").Usage += "; 0: as the window allows"
	return o
}

// fanoutAtRate is fanout for what has a rate in any case.
func (f *shared) fanoutAtRate() *fanoutFlags {
	o := &fanoutFlags{window: 1}
	f.set.IntVar(&o.size, "size", 128, "bytes of a message, at least 32")
	f.set.Float64Var(&o.rate, "rate", 0, "messages a second, whether or not the server keeps up")
	f.set.IntVar(&o.messages, "messages", 0, "end after so many messages; 0: after -duration")
	f.set.DurationVar(&o.duration, "duration", 5*time.Second, "end after this time, when -messages isn't given")
	f.set.DurationVar(&o.warmUp, "warm-up", time.Second, "before measuring; 0: one window of messages")
	return o
}

func (o *fanoutFlags) options(shared bench.Options) bench.FanoutOptions {
	f := bench.FanoutOptions{
		Options: shared, Size: o.size, Window: o.window, Rate: o.rate,
		Messages: o.messages, Duration: o.duration, WarmUp: o.warmUp,
	}
	if o.messages > 0 {
		f.Duration = 0
	}
	return f
}
