package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/busbar-ws/busbar/bench"
)

// suiteFiles are where a suite is written to.
type suiteFiles struct{ out, docs, readme string }

// suite compares everything, and writes what README shows.
func suite(ctx context.Context, args []string, s streams) error {
	preset := bench.Presets()[0]
	preset.Profile.Window, preset.Profile.Duration, preset.Profile.Settle = 64, 2*time.Second, 3*time.Second
	f := newFlags("suite", preset, s)
	var o bench.SuiteOptions
	var to suiteFiles
	names := f.set.String("targets", "busbar,raw,raw-batch,nbio,gws,gorilla,centrifuge,coder", "`names` of the servers, Busbar first")
	f.set.IntVar(&o.Rounds, "rounds", 5, "how often each server is measured; memory and handshakes at most 3 times")
	f.set.IntVar(&o.Connections, "connections", 10000, "clients for memory and handshakes")
	within := f.set.Duration("within", 15*time.Minute, "stop after this time with what there is; 0: never")
	f.set.StringVar(&to.out, "out", "bench/results", "`folder` for everything: suite.json, report.html, summary.md")
	f.set.StringVar(&to.docs, "docs", "", "`folder` that gets the same, when nothing is missing")
	f.set.StringVar(&to.readme, "readme", "", "Markdown `file` that gets the summary between its markers, when nothing is missing")
	err := f.parse(args)
	if err == nil && to.readme != "" { // what would come to light after the measuring
		if _, missing := to.page(""); missing != nil {
			err = usagef("-readme: %s: %v", to.readme, missing)
		}
	}
	if err == nil {
		o.Targets, _, err = f.targets(ctx, *names)
	}
	if err != nil {
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
	return to.write(s, d)
}

// write writes everything to the folder for it, and when nothing is missing to where others see it.
func (to *suiteFiles) write(s streams, d *bench.Document) error {
	err := writeSuite(to.out, d)
	if err == nil {
		err = os.WriteFile(filepath.Join(to.out, "summary.md"), []byte(d.Markdown()), 0o644)
	}
	if err != nil {
		return fmt.Errorf("-out: %w", err)
	}
	fmt.Fprintf(s.out, "\n%s has the report, the JSON and the summary.\n", to.out)
	if err := d.Complete(); err != nil {
		return fmt.Errorf("%w; -docs and -readme are left as they were", err)
	}
	if to.docs != "" {
		if err := writeSuite(to.docs, d); err != nil {
			return fmt.Errorf("-docs: %w", err)
		}
	}
	if to.readme != "" {
		text, err := to.page(d.Markdown())
		if err == nil {
			err = os.WriteFile(to.readme, []byte(text), 0o644)
		}
		if err != nil {
			return fmt.Errorf("-readme: %w", err)
		}
	}
	return nil
}

// page is README with another summary.
func (to *suiteFiles) page(summary string) (string, error) {
	page, err := os.ReadFile(to.readme)
	if err != nil {
		return "", err
	}
	return bench.Between(string(page), summary)
}

func writeSuite(folder string, d *bench.Document) error {
	err := os.MkdirAll(folder, 0o755)
	if err == nil {
		err = save(filepath.Join(folder, "suite.json"), d)
	}
	if err == nil {
		err = savePage(filepath.Join(folder, "report.html"), d)
	}
	return err
}
