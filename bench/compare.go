package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Contestant is what is measured in each round of a comparison.
type Contestant struct {
	Name    string
	Profile Profile
}

// Compare measures all contestants in turn, round after round, so that what disturbs the machine
// for a while disturbs them all. base names the one that others are divided by; empty: no ratios.
// When ctx ends the section is of what there was.
func Compare(ctx context.Context, title, base string, rounds int, all ...Contestant) (*Section, error) {
	if len(all) == 0 || rounds < 1 {
		return nil, fmt.Errorf("%w: %d contestants, %d rounds: at least 1", ErrOptions, len(all), rounds)
	}
	for i, c := range all {
		if slices.ContainsFunc(all[:i], func(o Contestant) bool { return o.Name == c.Name }) {
			return nil, fmt.Errorf("%w: two targets are called %s; NAME=COMMAND gives another name", ErrOptions, c.Name)
		}
		if err := all[i].Profile.validate(); err != nil {
			return nil, err
		}
	}
	if base != "" && !slices.ContainsFunc(all, func(c Contestant) bool { return c.Name == base }) {
		return nil, fmt.Errorf("%w: the base %s isn't among the targets", ErrOptions, base)
	}
	s := &Section{Title: title, Base: base, Rounds: rounds}
	results := make([][]*Result, len(all))
	for round := range rounds {
		for i, c := range all {
			results[i] = append(results[i], c.measure(ctx, title, round, rounds))
		}
	}
	s.Interrupted = ctx.Err() != nil
	of := slices.IndexFunc(all, func(c Contestant) bool { return c.Name == base })
	for i, c := range all {
		var to []*Result
		if of >= 0 {
			to = results[of]
		}
		r := join(results[i], to)
		r.Name, r.Profile = c.Name, c.Profile
		if last := results[i][0]; last != nil {
			r.Profile.Workers = last.Profile.Workers
		}
		s.Results = append(s.Results, r)
	}
	return s, nil
}

// measure makes one run; nil when it didn't come to it.
func (c Contestant) measure(ctx context.Context, title string, round, rounds int) *Result {
	if ctx.Err() != nil {
		return nil
	}
	p := c.Profile
	p.Progress = func(phase string, done, of int64) {
		c.Profile.Progress(fmt.Sprintf("%s, round %d/%d, %s: %s", title, round+1, rounds, c.Name, phase), done, of)
	}
	r, err := Run(ctx, p)
	switch {
	case errors.Is(err, context.Canceled):
		return nil
	case err != nil:
		r = &Result{Profile: p}
		r.fail(err.Error())
	}
	for i, why := range r.Failures {
		if rounds > 1 {
			r.Failures[i] = fmt.Sprintf("round %d: %s", round+1, why)
		}
	}
	return r
}
