package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/busbar-ws/busbar/bench"
)

// measure is the command run: a profile, alone or beside itself undisturbed.
func measure(ctx context.Context, args []string, s streams) error {
	presets := bench.Presets()
	preset, name := presets[0], "run"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		i := slices.IndexFunc(presets, func(p bench.Preset) bool { return p.Name == args[0] })
		if i < 0 {
			return usagef("%q isn't a preset; busbar-bench help lists them", args[0])
		}
		preset, name, args = presets[i], "run "+args[0], args[1:]
	}
	f := newFlags(name, preset, s)
	f.crowd()
	target := f.set.String("target", "busbar", "busbar, a `name` that the program of -peers knows, or NAME=COMMAND")
	rounds := f.set.Int("rounds", preset.Rounds, "how often it is measured")
	baseline := f.set.Bool("baseline", preset.Baseline, "each round also measures without -stalled, -churn and -storm, and figures are divided by that")
	if err := f.parse(args); err != nil {
		return err
	}
	targets, remove, err := f.targets(ctx, *target)
	if err != nil {
		return err
	}
	defer remove()
	f.profile.Target = targets[0]
	all, base := []bench.Contestant{{Name: "with", Profile: f.profile}}, ""
	if *baseline {
		base = "without"
		all = append([]bench.Contestant{{Name: base, Profile: f.profile.Undisturbed()}}, all...)
	} else if *rounds == 1 {
		all[0].Name = targets[0].Name
	}
	return f.compare(ctx, s, preset.Name, base, *rounds, all)
}

// compare measures contestants, and publishes what was found.
func (f *flags) compare(ctx context.Context, s streams, title, base string, rounds int, all []bench.Contestant) error {
	b := newBar(s.err)
	for i := range all {
		all[i].Profile.Progress = b.show
	}
	section, err := bench.Compare(ctx, title, base, rounds, all...)
	b.clear()
	if err == nil && !slices.ContainsFunc(section.Results, func(r *bench.Result) bool { return len(r.Figures)+len(r.Failures) > 0 }) {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	return f.publish(s, bench.NewDocument(f.line, section))
}

func compare(ctx context.Context, args []string, s streams) error {
	f := newFlags("compare", bench.Presets()[0], s)
	f.crowd()
	names := f.set.String("targets", "busbar,raw,raw-batch", "`names` of the servers, as for -target of run")
	rounds := f.set.Int("rounds", 5, "how often each server is measured")
	f.set.Func("server", "`command` of a server that knows nothing of the bench, measured as well: bench/README.md has examples", func(v string) error {
		f.server.Command = strings.Fields(v)
		return nil
	})
	f.set.StringVar(&f.server.Address, "address", "", "`HOST:PORT` at which -server listens, or with /PATH")
	f.set.StringVar(&f.server.Protocol, "protocol", "echo", "`protocol` of -server: echo, or centrifugo")
	base := f.set.String("base", "", "the `name` that the others are divided by; default raw, or raw-batch with -window above 1")
	if err := f.parse(args); err != nil {
		return err
	}
	targets, remove, err := f.targets(ctx, *names)
	if err != nil {
		return err
	}
	defer remove()
	if *base == "" {
		*base = f.profile.Base(targets)
	}
	return f.compare(ctx, s, f.profile.String(), *base, *rounds, f.profile.Against(targets))
}

// publish prints what was found and writes it to the files of -json and -html. Its error is that a
// round failed.
func (f *flags) publish(s streams, d *bench.Document) error {
	if err := d.Write(s.out); err != nil {
		return fmt.Errorf("printing the result: %w", err)
	}
	if f.json != "" {
		if err := save(f.json, d); err != nil {
			return fmt.Errorf("-json: %w", err)
		}
	}
	if f.html != "" {
		if err := savePage(f.html, d); err != nil {
			return fmt.Errorf("-html: %w", err)
		}
	}
	for _, section := range d.Sections {
		for _, r := range section.Results {
			if len(r.Failures) > 0 {
				return fmt.Errorf("%s: %s", r.Name, r.Failures[0])
			}
		}
	}
	return nil
}

func savePage(path string, d *bench.Document) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(d.WriteHTML(file), file.Close())
}

func save(path string, document any) error {
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
