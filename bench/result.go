package bench

import (
	"math"
	"slices"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/busbar-ws/busbar/bench/loadgen"
	"github.com/busbar-ws/busbar/bench/runner"
)

// Schema is the version of the JSON that Document is written as.
const Schema = 2

// Units of figures.
const (
	Nanoseconds = "ns"
	Bytes       = "bytes"
	PerSecond   = "per_second"
	Count       = "count"
	PerOne      = "per_one" // of something for each delivery, message or row
)

// Spread is what several rounds gave.
type Spread struct {
	Median float64   `json:"median"`
	Low    float64   `json:"low"`
	High   float64   `json:"high"`
	Values []float64 `json:"values"` // in the order of the rounds that count
}

func spreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return Spread{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Low: sorted[0], High: sorted[n-1], Values: values}
}

// Figure is one thing that was measured.
type Figure struct {
	Name string `json:"name"`
	Unit string `json:"unit"`
	Spread
	Ratio *Spread `json:"ratio,omitempty"` // to the same figure of the base, in the same round
}

// Curve is a distribution of latencies.
type Curve struct {
	Name   string             `json:"name"`
	Points []loadgen.Quantile `json:"points"`
}

// Result is what the rounds of one profile have shown.
type Result struct {
	Name        string         `json:"name"` // what tells it from the others of its section
	Profile     Profile        `json:"profile"`
	Rounds      int            `json:"rounds"`  // that count
	Figures     []Figure       `json:"figures"` // of these
	Faults      loadgen.Faults `json:"faults"`  // of all rounds
	Curves      []Curve        `json:"curves,omitempty"`
	Failures    []string       `json:"failures,omitempty"` // why rounds don't count
	Interrupted bool           `json:"interrupted,omitempty"`
}

// add notes a figure of a single round.
func (r *Result) add(name, unit string, value float64) {
	if !math.IsNaN(value) && !math.IsInf(value, 0) {
		r.Figures = append(r.Figures, Figure{Name: name, Unit: unit, Spread: spreadOf([]float64{value})})
	}
}

func (r *Result) count(name string, n uint64) { r.add(name, Count, float64(n)) }

func (r *Result) addLatency(name string, h *hdrhistogram.Histogram) {
	if h.TotalCount() == 0 {
		return
	}
	r.add(name+"_p50", Nanoseconds, float64(h.ValueAtQuantile(50)))
	r.add(name+"_p99", Nanoseconds, float64(h.ValueAtQuantile(99)))
	r.add(name+"_p999", Nanoseconds, float64(h.ValueAtQuantile(99.9)))
	r.add(name+"_max", Nanoseconds, float64(h.Max()))
	r.Curves = append(r.Curves, Curve{name, loadgen.Curve(h)})
}

func (r *Result) fail(why string) { r.Failures = append(r.Failures, why) }

// Figure is the one with a name, without values when there is none.
func (r *Result) Figure(name string) Figure {
	if i := slices.IndexFunc(r.Figures, func(f Figure) bool { return f.Name == name }); i >= 0 {
		return r.Figures[i]
	}
	return Figure{Name: name}
}

// counts is whether a single round does.
func (r *Result) counts() bool { return r != nil && len(r.Failures) == 0 && !r.Interrupted }

// join makes one result of a profile's rounds, of which some may be nil. base has the rounds that
// the ratios are to. Figures are of the rounds that count, or else of one that was interrupted.
func join(rounds, base []*Result) *Result {
	r := &Result{}
	var shown []*Result
	for _, one := range rounds {
		if one == nil {
			continue
		}
		r.Name, r.Profile = one.Name, one.Profile
		r.Faults.Add(one.Faults)
		r.Failures = append(r.Failures, one.Failures...)
		r.Interrupted = r.Interrupted || one.Interrupted
		if one.counts() {
			r.Rounds++
			shown = append(shown, one)
		}
	}
	if last := rounds[len(rounds)-1]; r.Rounds == 0 && last != nil && last.Interrupted && len(last.Failures) == 0 {
		shown = []*Result{last}
	}
	for i, one := range shown {
		r.Curves = one.Curves // the latest
		for _, f := range one.Figures {
			if i > 0 && slices.ContainsFunc(shown[:i], func(o *Result) bool { return len(o.Figure(f.Name).Values) > 0 }) {
				continue
			}
			var values []float64
			for _, o := range shown {
				values = append(values, o.Figure(f.Name).Values...)
			}
			r.Figures = append(r.Figures, Figure{Name: f.Name, Unit: f.Unit, Spread: spreadOf(values), Ratio: ratio(f.Name, rounds, base)})
		}
	}
	return r
}

// ratio divides a figure by that of the base in the same round. Rounds that lack one of the two, or
// don't count, are left out.
func ratio(name string, rounds, base []*Result) *Spread {
	var ratios []float64
	for i := range min(len(rounds), len(base)) {
		if !rounds[i].counts() || !base[i].counts() {
			continue
		}
		a, b := rounds[i].Figure(name), base[i].Figure(name)
		if len(a.Values) > 0 && a.Median > 0 && b.Median > 0 {
			ratios = append(ratios, a.Median/b.Median)
		}
	}
	if len(ratios) == 0 {
		return nil
	}
	s := spreadOf(ratios)
	return &s
}

// Section is what was measured together: one result, or several in turn.
type Section struct {
	Title       string    `json:"title"`
	Base        string    `json:"base,omitempty"` // the name of the result that ratios are to
	Rounds      int       `json:"rounds"`
	Results     []*Result `json:"results"`
	Interrupted bool      `json:"interrupted,omitempty"`
}

// Result is the one with a name, without figures when there is none.
func (s *Section) Result(name string) *Result {
	if i := slices.IndexFunc(s.Results, func(r *Result) bool { return r.Name == name }); i >= 0 {
		return s.Results[i]
	}
	return &Result{Name: name}
}

// Failed is whether a round of any result doesn't count.
func (s *Section) Failed() bool {
	return slices.ContainsFunc(s.Results, func(r *Result) bool { return len(r.Failures) > 0 })
}

// Document is everything that a command has found.
type Document struct {
	Schema   int            `json:"schema"`
	Command  string         `json:"command"`
	Machine  runner.Machine `json:"machine"`
	Sections []*Section     `json:"sections"`
}

// NewDocument says where and by what its sections were measured.
func NewDocument(command string, sections ...*Section) *Document {
	return &Document{Schema: Schema, Command: command, Machine: runner.ThisMachine(), Sections: sections}
}
