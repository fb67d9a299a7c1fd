package bench

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
)

// Table is cells for people; with a head its cells are figures.
type Table struct {
	Head []string
	Rows [][]string
}

// Write aligns the cells.
func (t Table) Write(w io.Writer) error {
	flags, end := uint(0), "\n"
	rows := t.Rows
	if len(t.Head) > 0 {
		flags, end = tabwriter.AlignRight, "\t\n" // a last cell without it is no part of a column
		rows = append([][]string{t.Head}, rows...)
	}
	out := tabwriter.NewWriter(w, 0, 8, 2, ' ', flags)
	for _, cells := range rows {
		fmt.Fprint(out, strings.Join(cells, "\t"), end)
	}
	return out.Flush()
}

// text is a value as people read it.
func text(unit string, v float64) string {
	switch unit {
	case Nanoseconds:
		return span(v)
	case Bytes:
		return size(v)
	case PerOne:
		return digits(v)
	}
	return thousands(v)
}

// span is a time in nanoseconds with three digits.
func span(ns float64) string {
	for _, unit := range []struct {
		ns   float64
		name string
	}{{1e9, " s"}, {1e6, " ms"}, {1e3, " µs"}} {
		if ns >= unit.ns*0.9995 {
			return digits(ns/unit.ns) + unit.name
		}
	}
	return digits(ns) + " ns"
}

// digits has three digits, or all that stand before the point.
func digits(v float64) string {
	switch {
	case v >= 99.95 || v == 0:
		return thousands(v)
	case v >= 9.995:
		return fmt.Sprintf("%.1f", v)
	case v < 0.0995:
		return fmt.Sprintf("%.3f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func size(bytes float64) string {
	switch n := math.Abs(bytes); {
	case n >= 10<<20:
		return fmt.Sprintf("%.1f MiB", bytes/(1<<20))
	case n >= 10<<10:
		return fmt.Sprintf("%.1f KiB", bytes/(1<<10))
	}
	return thousands(bytes) + " B"
}

// thousands is a whole number with separators.
func thousands(v float64) string { return humanize.Comma(int64(math.Round(v))) }

const none = "–"

// value is the median.
func (f Figure) value() string {
	if len(f.Values) == 0 {
		return none
	}
	return text(f.Unit, f.Median)
}

// limits are the lowest and highest round.
func (s *Spread) limits(unit string) string {
	if s == nil || len(s.Values) == 0 {
		return none
	}
	low, high := text(unit, s.Low), text(unit, s.High)
	if low == high {
		return low
	}
	return low + " – " + high
}

func (s *Spread) value() string {
	if s == nil || len(s.Values) == 0 {
		return none
	}
	return digits(s.Median)
}

// title is a figure's name for people.
func title(name string) string {
	name = strings.NewReplacer("_per_second", "/s", "_p999", " p99.9", "_", " ").Replace(name)
	return strings.ReplaceAll(" "+name, " cpu", " CPU")[1:]
}

// Columns of a comparison of several targets: of a fan-out, and of connections.
var (
	fanoutColumns = []string{
		"cpu_per_delivery", "machine_cpu_per_delivery", "sends_per_delivery", "deliveries_per_second", "delivery_p50", "delivery_p99",
	}
	connectionColumns = []string{
		"user_memory_per_connection", "kernel_memory_per_connection", "cpu_per_handshake", "connects_per_second",
	}
)

// columns are those of what the section is about.
func (s *Section) columns() []string {
	p := s.Results[0].Profile
	if p.Settle > 0 || p.Messages == 0 && p.Duration == 0 {
		return connectionColumns
	}
	return fanoutColumns
}

// Tables are what the section has found.
func (s *Section) Tables() []Table {
	if s.versus() {
		return []Table{s.targets()}
	}
	head := Table{}
	for _, r := range s.Results {
		head.Rows = append(head.Rows, []string{r.Name, fmt.Sprintf("%s; %s", r.where(), r.Profile.String())}, []string{"", r.outcome()})
	}
	return []Table{head, s.figures()}
}

// versus is whether the section compares targets, and not what one target does under several loads.
func (s *Section) versus() bool {
	return slices.ContainsFunc(s.Results, func(r *Result) bool { return r.Profile.Target.Name != s.Results[0].Profile.Target.Name })
}

func (r *Result) where() string {
	p := &r.Profile
	if len(p.ServerCores) == 0 {
		return p.Target.Name + " and clients on all cores"
	}
	return fmt.Sprintf("%s on cores %v, load on cores %v in %d workers", p.Target.Name, p.ServerCores.String(), p.LoadCores.String(), p.Workers)
}

func (r *Result) outcome() string {
	switch {
	case len(r.Failures) > 0:
		return "FAILED: " + r.Failures[0]
	case r.Interrupted:
		return "interrupted"
	}
	return "every message at every client that should have it, once, in order"
}

// targets is a table with a line for each target.
func (s *Section) targets() Table {
	shown := s.columns()
	t := Table{Head: []string{"target"}}
	for i, name := range shown {
		t.Head = append(t.Head, title(name))
		switch {
		case s.Base != "" && i == 0:
			t.Head = append(t.Head, "to "+s.Base, "low – high")
		case s.Base != "" && name == "machine_cpu_per_delivery":
			t.Head = append(t.Head, "machine to "+s.Base)
		}
	}
	t.Head = append(t.Head, "rounds", "failed")
	for _, r := range s.Results {
		row := []string{r.Name}
		for i, name := range shown {
			f := r.Figure(name)
			row = append(row, f.value())
			switch {
			case s.Base != "" && i == 0:
				row = append(row, f.Ratio.value(), f.Ratio.limits(PerOne))
			case s.Base != "" && name == "machine_cpu_per_delivery":
				row = append(row, f.Ratio.value())
			}
		}
		t.Rows = append(t.Rows, append(row, strconv.Itoa(r.Rounds), strconv.Itoa(len(r.Failures))))
	}
	return t
}

// figures is a table with a line for each figure.
func (s *Section) figures() Table {
	t := Table{Head: []string{"figure"}}
	var names []string
	for _, r := range s.Results {
		t.Head = append(t.Head, r.Name)
		if s.Rounds > 1 {
			t.Head = append(t.Head, "low – high of "+r.Name)
		}
	}
	for _, r := range slices.Backward(s.Results) { // the last has most
		for _, f := range r.Figures {
			if !slices.Contains(names, f.Name) {
				names = append(names, f.Name)
			}
		}
	}
	last := s.Results[len(s.Results)-1]
	if s.Base != "" {
		t.Head = append(t.Head, last.Name+" ÷ "+s.Base, "low – high of ÷", "rounds")
	}
	for _, name := range names {
		row := []string{title(name)}
		for _, r := range s.Results {
			f := r.Figure(name)
			row = append(row, f.value())
			if s.Rounds > 1 {
				row = append(row, f.limits(f.Unit))
			}
		}
		if s.Base != "" {
			f := last.Figure(name)
			row = append(row, f.Ratio.value(), f.Ratio.limits(PerOne), strconv.Itoa(len(f.Values)))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// notes are what tables have no room for.
func (s *Section) notes() (notes []string) {
	for _, r := range s.Results {
		for _, why := range r.Failures {
			if s.versus() { // else the table says it
				notes = append(notes, r.Name+": FAILED: "+why)
			}
		}
	}
	if s.Interrupted {
		notes = append(notes, "interrupted: not everything is there")
	}
	return notes
}

// Write writes everything for people.
func (d *Document) Write(w io.Writer) error {
	fmt.Fprintln(w, d.Machine)
	for _, s := range d.Sections {
		fmt.Fprintf(w, "\n%s\n", s.Title)
		for _, t := range s.Tables() {
			if err := t.Write(w); err != nil {
				return err
			}
		}
		for _, note := range s.notes() {
			fmt.Fprintln(w, note)
		}
	}
	return nil
}
