package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// CompareOptions say what is compared, and how often.
type CompareOptions struct {
	FanoutOptions // without Target
	Targets       []Target
	Rounds        int // each measures every target once
	// Base names the target that the others are divided by. Empty: "raw-batch" with a
	// window above one, else "raw"; when that isn't among the targets, there are no ratios.
	Base string
}

// Comparison is the rounds and what they amount to.
type Comparison struct {
	Machine     Machine   `json:"machine"`
	Base        string    `json:"base,omitempty"`
	Rounds      []Round   `json:"rounds"`
	Summary     []Summary `json:"summary"` // in the order of the targets
	Interrupted bool      `json:"interrupted,omitempty"`
}

// Round is a result for each target, or why there is none.
type Round struct {
	Results []*FanoutResult   `json:"results"`
	Errors  map[string]string `json:"errors,omitempty"` // by target
}

// Summary is one target over all rounds.
type Summary struct {
	Target     string `json:"target"`
	Ratio      Spread `json:"ratio"`               // CPU per delivery divided by the base's of the same round
	CPU        Spread `json:"cpu_per_delivery_ns"` // process and ksoftirqd
	Machine    Spread `json:"machine_ns"`          // CPU of the whole machine per delivery, load included
	MachineTo  Spread `json:"machine_ratio"`       // that divided by the base's of the same round
	Sends      Spread `json:"sends_per_delivery"`  // no rounds: the target can't count them
	Deliveries Spread `json:"deliveries_per_second"`
	P50        Spread `json:"p50_ns"`
	P99        Spread `json:"p99_ns"`
	Max        Spread `json:"max_ns"`
	Failures   int    `json:"failures"` // rounds that don't count
}

func (o *CompareOptions) base() string {
	base := o.Base
	if base == "" {
		base = "raw"
		if o.Window > 1 && o.Rate == 0 {
			base = "raw-batch"
		}
	}
	if !slices.ContainsFunc(o.Targets, func(t Target) bool { return t.Name == base }) {
		return ""
	}
	return base
}

// Compare measures all targets in turn, round after round, so that what disturbs the
// machine for a while disturbs them all. When ctx ends the comparison is of what there
// was.
func Compare(ctx context.Context, o CompareOptions) (*Comparison, error) {
	if len(o.Targets) == 0 || o.Rounds < 1 {
		return nil, fmt.Errorf("%w: %d targets, %d rounds: at least 1", ErrOptions, len(o.Targets), o.Rounds)
	}
	c := &Comparison{Machine: ThisMachine(), Base: o.base()}
	if o.Base != "" && c.Base == "" {
		return nil, fmt.Errorf("%w: the base %s isn't among the targets", ErrOptions, o.Base)
	}
	if err := errors.Join(o.validate(), distinct(o.Targets)); err != nil {
		return nil, err
	}
	o.defaults()
	progress := o.Progress
	for round := range o.Rounds {
		c.Rounds = append(c.Rounds, Round{Errors: map[string]string{}})
		for _, t := range o.Targets {
			f := o.FanoutOptions
			f.Target = t
			f.Progress = func(phase string, done, of int64) {
				progress(fmt.Sprintf("round %d/%d, %s: %s", round+1, o.Rounds, t.Name, phase), done, of)
			}
			c.measure(ctx, &c.Rounds[round], f)
			if ctx.Err() != nil {
				c.Interrupted = true
				c.summarise(o.Targets)
				return c, nil
			}
		}
	}
	c.summarise(o.Targets)
	return c, nil
}

// distinct makes sure that the results can be told apart.
func distinct(targets []Target) error {
	for i, t := range targets {
		if slices.ContainsFunc(targets[:i], func(o Target) bool { return o.Name == t.Name }) {
			return fmt.Errorf("%w: two targets are called %s; NAME=COMMAND gives another name", ErrOptions, t.Name)
		}
	}
	return nil
}

func (c *Comparison) measure(ctx context.Context, round *Round, o FanoutOptions) {
	r, err := Fanout(ctx, o)
	switch {
	case err == nil:
		r.Latency.Curve, r.Late.Curve = nil, nil // too much of them in a file, and nobody draws them
		round.Results = append(round.Results, r)
	case !errors.Is(err, context.Canceled):
		round.Errors[o.Target.Name] = err.Error()
	}
}

// result is a target's result of a round, nil when there is none that counts.
func (r *Round) result(target string) *FanoutResult {
	for _, f := range r.Results {
		if f.Target == target && f.Failed == "" && !f.Interrupted && f.Deliveries > 0 {
			return f
		}
	}
	return nil
}

// values are a figure of one target in each round, 0 where the round has none.
func (c *Comparison) values(target string, figure func(*FanoutResult) float64) []float64 {
	values := make([]float64, len(c.Rounds))
	for i := range c.Rounds {
		if f := c.Rounds[i].result(target); f != nil {
			values[i] = figure(f)
		}
	}
	return values
}

func (c *Comparison) spread(target string, figure func(*FanoutResult) float64) Spread {
	values := c.values(target, figure)
	return spreadOf(slices.DeleteFunc(values, func(v float64) bool { return v <= 0 }))
}

func (c *Comparison) summarise(targets []Target) {
	cost := func(f *FanoutResult) float64 { return f.PerDelivery }
	machine := func(f *FanoutResult) float64 { return float64(f.CPU.Machine) / float64(f.Deliveries) }
	base, machineBase := c.values(c.Base, cost), c.values(c.Base, machine)
	for _, t := range targets {
		c.Summary = append(c.Summary, Summary{
			Target:     t.Name,
			Ratio:      spreadOf(ratios(c.values(t.Name, cost), base)),
			CPU:        c.spread(t.Name, cost),
			Machine:    c.spread(t.Name, machine),
			MachineTo:  spreadOf(ratios(c.values(t.Name, machine), machineBase)),
			Sends:      c.spread(t.Name, func(f *FanoutResult) float64 { return f.Sends }),
			Deliveries: c.spread(t.Name, func(f *FanoutResult) float64 { return float64(f.Deliveries) / f.Seconds }),
			P50:        c.spread(t.Name, func(f *FanoutResult) float64 { return float64(f.Latency.P50) }),
			P99:        c.spread(t.Name, func(f *FanoutResult) float64 { return float64(f.Latency.P99) }),
			Max:        c.spread(t.Name, func(f *FanoutResult) float64 { return float64(f.Latency.Max) }),
			Failures:   c.failures(t.Name),
		})
	}
}

func (c *Comparison) failures(target string) int {
	n := 0
	for i := range c.Rounds {
		if c.Rounds[i].Errors[target] != "" {
			n++
		}
		for _, f := range c.Rounds[i].Results {
			if f.Target == target && f.Failed != "" {
				n++
			}
		}
	}
	return n
}

// Failed is true when a round of any target doesn't count.
func (c *Comparison) Failed() bool {
	return slices.ContainsFunc(c.Summary, func(s Summary) bool { return s.Failures > 0 })
}
