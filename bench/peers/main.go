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

// hubs makes each target, with room for so many messages for one client; raw and raw-batch are a
// program of their own.
var hubs = map[string]func(queue int) (hub, error){
	"centrifuge": newCentrifuge,
	"coder":      newCoder,
	"gorilla":    newGorilla,
	"gws":        func(int) (hub, error) { return &gwsHub{}, nil },
	"nbio":       newNBIO,
	"raw":        nil,
	"raw-batch":  nil,
}

var names = slices.Sorted(maps.Keys(hubs))

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// run serves as args say until SIGTERM or an interrupt, which is a nil error.
func run(args []string, out io.Writer) error {
	if len(args) == 1 && args[0] == "list" {
		_, err := fmt.Fprintln(out, strings.Join(names, "\n"))
		return err
	}
	if len(args) == 0 || !slices.Contains(names, args[0]) {
		return fmt.Errorf("%w; NAME is one of %s", errUsage, strings.Join(names, ", "))
	}
	name := args[0]
	set := flag.NewFlagSet("peers "+name, flag.ContinueOnError)
	listen := set.String("listen", "127.0.0.1:8090", "`address` for WebSocket clients")
	controlAt := set.String("control", "127.0.0.1:8091", "`address` for the bench's control connection")
	queue := set.Int("queue", 256, "`messages` that may wait for one client (gorilla, coder)")
	if err := set.Parse(args[1:]); err != nil {
		return fmt.Errorf("reading the command line: %w", err)
	}
	if set.NArg() > 0 || *queue < 1 {
		return fmt.Errorf("%q left over, -queue %d: nothing may be, and at least one message must be able to wait: %w", set.Args(), *queue, errUsage)
	}
	clients, err := net.Listen("tcp", *listen)
	if err != nil {
		return fmt.Errorf("listening for clients: %w", err)
	}
	// Nobody asks whether the bench is still there: a busy machine may take minutes to answer.
	quiet := net.ListenConfig{KeepAlive: -1}
	control, err := quiet.Listen(context.Background(), "tcp", *controlAt)
	if err != nil {
		return fmt.Errorf("listening for the control connection: %w", err)
	}
	if hubs[name] == nil {
		return becomeRaw(name, clients, control)
	}
	h, err := hubs[name](*queue)
	if err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	failed := make(chan error, 2)
	go func() { failed <- serveControl(control, h) }()
	go func() { failed <- h.serve(clients) }()
	// The kernel queues connections from here on, so nobody has to wait for the goroutines.
	fmt.Fprintln(out, "ready")
	select {
	case err := <-failed:
		return fmt.Errorf("target %s: %w", name, err)
	case <-stop:
		return nil
	}
}
