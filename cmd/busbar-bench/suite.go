package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/busbar-ws/busbar/bench"
)

// suite compares everything, and writes what README shows.
func suite(ctx context.Context, args []string, s streams) error {
	preset := bench.Presets()[0]
	preset.Profile.Window, preset.Profile.Duration, preset.Profile.Settle = 64, 2*time.Second, 3*time.Second
	f := newFlags("suite", preset, s)
	var o bench.SuiteOptions
	names := f.set.String("targets", "busbar,raw,raw-batch,nbio,gws,gorilla,centrifuge,coder", "`names` of the servers, Busbar first")
	f.set.IntVar(&o.Rounds, "rounds", 5, "how often each server is measured; memory and handshakes at most 3 times")
	f.set.IntVar(&o.Connections, "connections", 10000, "clients for memory and handshakes")
	within := f.set.Duration("within", 15*time.Minute, "stop after this time with what there is; 0: never")
	out := f.set.String("out", "bench/results", "`folder` for everything: suite.json, report.html, summary.md")
	docs := f.set.String("docs", "", "`folder` that gets suite.json and report.html as well, when nothing is missing")
	readme := f.set.String("readme", "", "Markdown `file` that gets the summary between its markers, when nothing is missing")
	if err := f.parse(args); err != nil {
		return err
	}
	withSummary := func(summary string) (string, error) {
		page, err := os.ReadFile(*readme)
		if err != nil {
			return "", err
		}
		return bench.Between(string(page), summary)
	}
	if *readme != "" { // what would come to light after the measuring
		if _, err := withSummary(""); err != nil {
			return usagef("-readme: %s: %v", *readme, err)
		}
	}
	var err error
	if o.Targets, _, err = f.targets(ctx, *names); err != nil {
		return err
	}
	b := newBar(s.err)
	o.Profile = f.profile
	o.Profile.Progress = b.show
	measuring, cancel := context.WithCancel(ctx)
	defer cancel()
	if *within > 0 {
		defer time.AfterFunc(*within, cancel).Stop() // not a deadline: it is to end like Ctrl-C
	}
	d, err := bench.RunSuite(measuring, o)
	b.clear()
	if err != nil {
		return err
	}
	d.Command = f.line
	_ = f.publish(s, d) // a failure of another server is part of the result
	if err := writeSuite(*out, d); err != nil {
		return fmt.Errorf("-out: %w", err)
	}
	fmt.Fprintf(s.out, "\n%s has the report, the JSON and the summary.\n", *out)
	if err := d.Complete(); err != nil {
		return fmt.Errorf("%w; -docs and -readme are left as they were", err)
	}
	if *docs != "" {
		if err := writeSuite(*docs, d); err != nil {
			return fmt.Errorf("-docs: %w", err)
		}
	}
	if *readme != "" {
		text, err := withSummary(d.Markdown())
		if err == nil {
			err = os.WriteFile(*readme, []byte(text), 0o644)
		}
		if err != nil {
			return fmt.Errorf("-readme: %w", err)
		}
	}
	return nil
}

func writeSuite(folder string, d *bench.Document) error {
	err := os.MkdirAll(folder, 0o755)
	if err == nil {
		err = save(filepath.Join(folder, "suite.json"), d)
	}
	if err == nil {
		err = savePage(filepath.Join(folder, "report.html"), d)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "summary.md"), []byte(d.Markdown()), 0o644)
	}
	return err
}
