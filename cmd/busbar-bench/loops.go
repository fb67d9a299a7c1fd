package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/busbar-ws/busbar/bench"
)

// loops compares Busbar to itself with more event loops, on all cores.
func loops(ctx context.Context, args []string, s streams) error {
	f := newFlags("loops", s)
	counts := f.set.String("counts", "1,2", "`numbers` of event loops, compared to the first")
	rounds := f.set.Int("rounds", 5, "how often each is measured")
	messages := f.set.Int("messages", 20, "messages in each run, one at a time")
	size := f.set.Int("size", 128, "bytes of a message, at least 32")
	processes := f.set.Int("processes", 0, "also so many processes of the first number of loops at once, each on a core of its own and with its part of the clients")
	if err := f.parse(args); err != nil {
		return err
	}
	coreEach := f.serverCores == "auto"
	if coreEach {
		f.serverCores = "none"
	}
	if f.loadCores == "auto" {
		f.loadCores = "none"
	}
	var targets []bench.Target
	for text := range strings.SplitSeq(*counts, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 1 {
			return usagef("-counts %q: %q isn't a number of event loops", *counts, text)
		}
		command, err := self("target", fmt.Sprintf("-loops=%d", n))
		if err != nil {
			return err
		}
		t := bench.Target{Name: fmt.Sprintf("loops-%d", n), Command: command}
		if coreEach {
			t.Cores = bench.FirstCores(n)
		}
		targets = append(targets, t)
	}
	b := newBar(s.err)
	o, err := f.options(b)
	if err != nil {
		return err
	}
	r, err := bench.Loops(ctx, bench.LoopsOptions{Options: o, Targets: targets, Size: *size, Messages: *messages, Rounds: *rounds, Processes: *processes})
	b.clear()
	if err != nil {
		return err
	}
	return f.publish(s, r, r.Failed)
}
