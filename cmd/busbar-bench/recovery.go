package main

import (
	"context"
	"errors"
	"flag"
	"strconv"
	"strings"
	"time"

	"github.com/busbar-ws/busbar/bench"
	"github.com/busbar-ws/busbar/bench/proof"
)

// recovery measures how clients come back that have lost their server.
func recovery(ctx context.Context, args []string, s streams) error {
	var daemon proof.Options
	var o proof.RecoveryOptions
	var out flags
	f := flag.NewFlagSet("busbar-bench recovery", flag.ContinueOnError)
	f.SetOutput(s.out)
	f.StringVar(&daemon.Program, "busbar", "bin/busbar", "`program` of the daemon; make build makes bin/busbar")
	f.Func("args", "more `arguments` for the daemon, separated by spaces", func(v string) error { o.Args = strings.Fields(v); return nil })
	clients := f.String("clients", "1000,5000,10000", "`numbers` of connections, a run for each")
	f.Float64Var(&o.Rate, "rate", 5, "changes a second")
	f.Float64Var(&o.Return, "return", 2000, "clients a second that come back")
	f.IntVar(&o.Size, "size", 128, "bytes of a change's data")
	f.DurationVar(&o.Steady, "steady", 3*time.Second, "from the first change to the kill")
	f.StringVar(&out.json, "json", "", "write the result to a `file`")
	f.StringVar(&out.html, "html", "", "write a report with charts to a `file`")
	err := parseProof(f, args, &daemon)
	if err == nil {
		err = errors.Join(writable("json", out.json), writable("html", out.html))
	}
	if err != nil {
		return err
	}
	for number := range strings.SplitSeq(*clients, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(number))
		if err != nil || n < 1 {
			return usagef("-clients %s: %q is no number of connections", *clients, number)
		}
		o.Clients = append(o.Clients, n)
	}
	o.Program = daemon.Program
	b := newBar(s.err)
	o.Progress = b.show
	section, err := proof.Recover(ctx, o)
	b.clear()
	switch {
	case errors.Is(err, proof.ErrOptions):
		return usagef("%v", err)
	case err != nil:
		return err
	}
	return out.publish(s, bench.NewDocument(strings.Join(append([]string{f.Name()}, args...), " "), section))
}
