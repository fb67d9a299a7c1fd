// Command peers is the servers that the bench measures Busbar against: one program, one
// target per name, all driven through the same control connection.
//
// Usage: peers NAME -listen ADDRESS -control ADDRESS [-queue N]
//
// peers list prints the names, one a line.
//
// It prints "ready" on standard output when both addresses listen, and ends on SIGTERM.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// errUsage is what a command line that names no target, or an unknown one, gives.
var errUsage = errors.New("usage: peers NAME -listen ADDRESS -control ADDRESS [-queue N]")

// options is what the command line says.
type options struct {
	listen, control string
	// queue is how many messages wait for one client in the hubs that have a channel per
	// client (gorilla, coder); a client whose channel is full is disconnected.
	queue int
}

// targets are the servers by name. Each runs until one of its listeners fails.
var targets = map[string]func(clients, control net.Listener, o options) error{
	"raw":       func(clients, control net.Listener, _ options) error { return runRaw(clients, control, false) },
	"raw-batch": func(clients, control net.Listener, _ options) error { return runRaw(clients, control, true) },
	"gorilla": func(clients, control net.Listener, o options) error {
		return runHub(clients, control, newGorilla(o.queue))
	},
	"gws":  func(clients, control net.Listener, _ options) error { return runHub(clients, control, newGWS()) },
	"nbio": func(clients, control net.Listener, _ options) error { return runHub(clients, control, newNBIO()) },
	"coder": func(clients, control net.Listener, o options) error {
		return runHub(clients, control, newCoder(o.queue))
	},
	"centrifuge": func(clients, control net.Listener, _ options) error {
		h, err := newCentrifuge()
		if err != nil {
			return err
		}
		return runHub(clients, control, h)
	},
	"seedlike": func(clients, control net.Listener, _ options) error {
		return runHub(clients, control, newSeedlike())
	},
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// run serves as args say until SIGTERM or an interrupt, which is a nil error.
func run(args []string, out io.Writer) error {
	sorted := slices.Sorted(maps.Keys(targets))
	names := strings.Join(sorted, ", ")
	if len(args) == 1 && args[0] == "list" {
		_, err := fmt.Fprintln(out, strings.Join(sorted, "\n"))
		return err
	}
	if len(args) == 0 {
		return fmt.Errorf("%w; NAME is one of %s", errUsage, names)
	}
	start, ok := targets[args[0]]
	if !ok {
		return fmt.Errorf("no target %q: %w; NAME is one of %s", args[0], errUsage, names)
	}
	o, err := parseFlags(args)
	if err != nil {
		return err
	}
	clients, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("listening for clients: %w", err)
	}
	// Nobody asks whether the bench is still there: a busy machine may take minutes to answer.
	quiet := net.ListenConfig{KeepAlive: -1}
	control, err := quiet.Listen(context.Background(), "tcp", o.control)
	if err != nil {
		return fmt.Errorf("listening for the control connection: %w", err)
	}

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	failed := make(chan error, 1)
	go func() { failed <- start(clients, control, o) }()
	// The kernel queues connections from here on, so nobody has to wait for the goroutine.
	fmt.Fprintln(out, "ready")
	select {
	case err := <-failed:
		return fmt.Errorf("target %s: %w", args[0], err)
	case <-stop:
		return nil
	}
}

func parseFlags(args []string) (options, error) {
	var o options
	set := flag.NewFlagSet("peers "+args[0], flag.ContinueOnError)
	set.StringVar(&o.listen, "listen", "127.0.0.1:8090", "`address` for WebSocket clients")
	set.StringVar(&o.control, "control", "127.0.0.1:8091", "`address` for the bench's control connection")
	set.IntVar(&o.queue, "queue", 256, "`messages` that may wait for one client (gorilla, coder)")
	if err := set.Parse(args[1:]); err != nil {
		return o, fmt.Errorf("reading the command line: %w", err)
	}
	if set.NArg() > 0 {
		return o, fmt.Errorf("argument %q is left over: %w", set.Arg(0), errUsage)
	}
	if o.queue < 1 {
		return o, fmt.Errorf("-queue %d: at least one message must be able to wait", o.queue)
	}
	return o, nil
}
