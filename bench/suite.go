package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/busbar-ws/busbar/bench/runner"
)

// SuiteOptions are the comparison of everything: what README shows.
type SuiteOptions struct {
	Profile     Profile         // of the fan-outs: clients, sizes, duration, warm-up; its window is that of the second
	Targets     []runner.Target // the first is the one that it is all about
	Rounds      int             // of the fan-outs; of the rest no more than 3
	Connections int             // clients for memory and handshakes
}

// fewRounds is enough for what hardly differs from round to round.
const fewRounds = 3

// Titles of the sections of a suite.
const (
	oneAtATime  = "one message at a time"
	inFlight    = "messages in flight"
	connections = "connections"
)

// Base is what targets are divided by unless something else is asked for: a loop that sends each
// message by itself, or with several in flight one that sends what has piled up.
func (p *Profile) Base(targets []runner.Target) string {
	base := "raw"
	if p.Window > 1 && p.Rate == 0 {
		base = "raw-batch"
	}
	if !slices.ContainsFunc(targets, func(t runner.Target) bool { return t.Name == base }) {
		return ""
	}
	return base
}

// Against has every target take the same load.
func (p *Profile) Against(targets []runner.Target) (all []Contestant) {
	for _, t := range targets {
		c := Contestant{Name: t.Name, Profile: *p}
		c.Profile.Target = t
		all = append(all, c)
	}
	return all
}

// RunSuite measures everything. When ctx ends the document is of what there was.
func RunSuite(ctx context.Context, o SuiteOptions) (*Document, error) {
	single, windowed, idle := o.Profile, o.Profile, o.Profile
	if windowed.Window < 2 || len(o.Targets) == 0 || o.Connections < 1 {
		return nil, fmt.Errorf("%w: window %d, %d targets, %d connections: a window of 2 or more, and at least 1", ErrOptions, windowed.Window, len(o.Targets), o.Connections)
	}
	single.Window = 1
	single.Settle, windowed.Settle = 0, 0
	idle.Clients, idle.Window, idle.Messages, idle.WarmUp = o.Connections, 1, 1, 0
	d := NewDocument("")
	for _, part := range []struct {
		title   string
		profile Profile
		base    string
		rounds  int
	}{
		{oneAtATime, single, single.Base(o.Targets), o.Rounds},
		{fmt.Sprint(windowed.Window, " ", inFlight), windowed, windowed.Base(o.Targets), o.Rounds},
		{connections, idle, "", min(o.Rounds, fewRounds)},
	} {
		if ctx.Err() != nil && len(d.Sections) > 0 {
			continue
		}
		s, err := Compare(ctx, part.title, part.base, part.rounds, part.profile.Against(o.Targets)...)
		if err != nil {
			return nil, err
		}
		d.Sections = append(d.Sections, s)
	}
	return d, nil
}

// Section is the one whose title ends so, empty when there is none.
func (d *Document) section(title string) *Section {
	if i := slices.IndexFunc(d.Sections, func(s *Section) bool { return strings.HasSuffix(s.Title, title) }); i >= 0 {
		return d.Sections[i]
	}
	return &Section{Title: title}
}

// ErrIncomplete: a suite lacks what can't be left out when it is shown.
var ErrIncomplete = errors.New("incomplete")

// Complete is an error unless the suite ran to its end, and each round of the target that it is
// all about, and of those that others are divided by, counts. What became of the others is part
// of the result.
func (d *Document) Complete() error {
	own := d.section(oneAtATime).Results[0].Name
	for _, title := range []string{oneAtATime, inFlight, connections} {
		s := d.section(title)
		if s.Interrupted || len(s.Results) == 0 {
			return fmt.Errorf("%w: it was interrupted", ErrIncomplete)
		}
		for _, name := range []string{own, s.Base} {
			if n := len(s.Result(name).Failures); n > 0 {
				return fmt.Errorf("%w: %d rounds of %s failed: %s", ErrIncomplete, n, name, s.Result(name).Failures[0])
			}
		}
	}
	return nil
}

// Markdown is a suite in short.
func (d *Document) Markdown() string {
	single, windowed, idle := d.section(oneAtATime), d.section(inFlight), d.section(connections)
	own := single.Results[0]
	m, p, many := d.Machine, own.Profile, windowed.Result(own.Name).Profile
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s, %d cores, %.0f GiB, Linux %s, %s, Busbar %s. The server has one core, the load the others. "+
		"CPU is that of the server's process and of its core's ksoftirqd, divided by the base's in the same round; in parentheses the lowest and highest round. "+
		"%s clients, messages of %v bytes, rounds: %d; memory and handshakes: %s clients, rounds: %d.\n\n",
		m.Date.Format("2006-01-02"), m.CPU, m.Cores, float64(m.Memory)/(1<<30), m.Kernel, m.Go, m.Busbar,
		thousands(float64(p.Clients)), p.Sizes, single.Rounds, thousands(float64(idle.Result(own.Name).Profile.Clients)), idle.Rounds)
	fmt.Fprintf(&b, "| server | CPU per delivery, one at a time%s | p99 | CPU per delivery, %d in flight%s | sends per delivery | memory per idle connection | CPU per handshake |\n",
		single.divided(), many.Window, windowed.divided())
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, one := range single.ascending("cpu_per_delivery") {
		name := one.Name
		if name == own.Name {
			name = "**" + name + "**"
		}
		connected := idle.Result(one.Name)
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", name, single.cell(one), one.Figure("delivery_p99").value(),
			windowed.cell(windowed.Result(one.Name)), windowed.Result(one.Name).Figure("sends_per_delivery").value(),
			connected.Figure("user_memory_per_connection").value(), connected.Figure("cpu_per_handshake").value())
	}
	return b.String()
}

func (s *Section) divided() string {
	if s.Base == "" {
		return ""
	}
	return ", to " + s.Base
}

// ascending is every result, the cheapest first; those without the figure come last.
func (s *Section) ascending(figure string) []*Result {
	cost := func(r *Result) float64 {
		f := r.Figure(figure)
		switch {
		case f.Ratio != nil:
			return f.Ratio.Median
		case len(f.Values) > 0 && s.Base == "":
			return f.Median
		}
		return 1e300
	}
	return slices.SortedStableFunc(slices.Values(s.Results), func(a, b *Result) int { return cmp.Compare(cost(a), cost(b)) })
}

// cell is a target's CPU per delivery, with what failed.
func (s *Section) cell(r *Result) string {
	f := r.Figure("cpu_per_delivery")
	cell, limits := f.Ratio.value(), f.Ratio.limits(PerOne)
	if s.Base == "" {
		cell, limits = f.value(), f.limits(f.Unit)
	}
	if limits != cell {
		cell += " (" + limits + ")"
	}
	if len(r.Failures) > 0 {
		cell += fmt.Sprintf("; %d of %d rounds failed", len(r.Failures), s.Rounds)
	}
	return cell
}

// The lines between which a Markdown file has what was measured.
const (
	BeginMarker = "<!-- begin: written by make bench -->"
	EndMarker   = "<!-- end: written by make bench -->"
)

// ErrMarkers: a text hasn't each of the markers once, in order.
var ErrMarkers = errors.New("markers")

// Between puts a fragment between the markers of a text, in place of what was there.
func Between(text, fragment string) (string, error) {
	before, rest, begun := strings.Cut(text, BeginMarker)
	_, after, ended := strings.Cut(rest, EndMarker)
	if !begun || !ended || strings.Count(text, BeginMarker) != 1 || strings.Count(text, EndMarker) != 1 {
		return "", fmt.Errorf("%w: %q and %q must be there once each, in this order", ErrMarkers, BeginMarker, EndMarker)
	}
	return before + BeginMarker + "\n\n" + strings.TrimSpace(fragment) + "\n\n" + EndMarker + after, nil
}
