package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/busbar-ws/busbar/bench"
	"github.com/busbar-ws/busbar/bench/report"
)

// suiteFlags are what the comparison of everything is like, and where it goes.
type suiteFlags struct {
	*shared
	targets, slow                     string
	rounds, connections, window, size int
	duration, warmUp, settle, within  time.Duration
	out, docs, readme                 string
}

func newSuiteFlags(s streams) *suiteFlags {
	f := &suiteFlags{shared: newFlags("suite", s)}
	f.set.StringVar(&f.targets, "targets", "busbar,raw,raw-batch,nbio,gws,gorilla,centrifuge,coder", "`names` of the servers, Busbar first")
	f.set.StringVar(&f.slow, "slow-targets", "seedlike", "`names` of servers that get a small load of their own")
	f.set.IntVar(&f.rounds, "rounds", 5, "how often each server is measured; memory and handshakes at most 3 times")
	f.set.IntVar(&f.connections, "connections", 10000, "clients for memory and handshakes")
	f.set.IntVar(&f.window, "window", 64, "messages in flight, after one at a time")
	f.set.IntVar(&f.size, "size", 128, "bytes of a message, at least 32")
	f.set.DurationVar(&f.duration, "duration", 2*time.Second, "of each fan-out")
	f.set.DurationVar(&f.warmUp, "warm-up", time.Second, "before each fan-out")
	f.set.DurationVar(&f.settle, "settle", 3*time.Second, "between connecting and looking at memory")
	f.set.DurationVar(&f.within, "within", 15*time.Minute, "stop after this time with what there is; 0: never")
	f.set.StringVar(&f.out, "out", "bench/results", "`folder` for everything: suite.json, report.html, summary.md, charts")
	f.set.StringVar(&f.docs, "docs", "", "`folder` that gets suite.json and the charts as well, when nothing is missing")
	f.set.StringVar(&f.readme, "readme", "", "Markdown `file` that gets the summary between its markers, when nothing is missing; needs -docs")
	return f
}

func suite(ctx context.Context, args []string, s streams) error {
	f := newSuiteFlags(s)
	if err := f.parse(args); err != nil {
		return err
	}
	if err := f.checkReadme(); err != nil {
		return err
	}
	b := newBar(s.err)
	o, err := f.suite(b)
	if err != nil {
		return err
	}
	long, err := o.Plan()
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "This takes about %v%s. Ctrl-C ends it earlier and prints what there is.\n\n", max(long.Round(10*time.Second), time.Second), f.atMost())
	r, err := bench.RunSuite(ctx, o)
	b.clear()
	if err != nil {
		return err
	}
	r.Command = f.line
	return f.finish(s, r)
}

// checkReadme finds out before the measuring what would come to light after it.
func (f *suiteFlags) checkReadme() error {
	switch {
	case f.readme == "":
		return nil
	case f.docs == "":
		return usagef("-readme %s: needs -docs, where its images are", f.readme)
	}
	if err := report.CheckFile(f.readme); err != nil {
		return usagef("-readme: %v", err)
	}
	return nil
}

func (f *suiteFlags) atMost() string {
	if f.within == 0 {
		return ""
	}
	return fmt.Sprintf(", and at most %v", f.within)
}

func (f *suiteFlags) suite(b *bar) (bench.SuiteOptions, error) {
	targets, err := f.resolveAll(f.targets)
	if err != nil {
		return bench.SuiteOptions{}, err
	}
	var slow []bench.Target
	if f.slow != "" {
		if slow, err = f.resolveAll(f.slow); err != nil {
			return bench.SuiteOptions{}, err
		}
	}
	o, err := f.options(b)
	return bench.SuiteOptions{
		Options: o, Targets: targets, Slow: slow, Size: f.size, Window: f.window, Rounds: f.rounds,
		Duration: f.duration, WarmUp: f.warmUp, Connections: f.connections, Settle: f.settle, Within: f.within,
	}, err
}

// resolveAll reads a list of targets.
func (f *shared) resolveAll(names string) ([]bench.Target, error) {
	var targets []bench.Target
	for name := range strings.SplitSeq(names, ",") {
		t, err := f.resolve(strings.TrimSpace(name))
		if err != nil {
			return nil, err
		}
		targets = append(targets, t)
	}
	return targets, nil
}
