package bench

import (
	"context"
	"errors"
	"fmt"
)

// DisturbOptions are a fan-out during which clients do what clients do: some stop reading,
// some leave and others come.
type DisturbOptions struct {
	FanoutOptions // Messages or Duration of each run
	// Sizes of the messages; empty: all have Size.
	Sizes   Mixture
	Stalled float64 // share of the clients that stop reading; at most 0.25
	Churn   float64 // clients a second that leave, and that come
	// Storm is how many clients come as fast as they can, and leave as soon as they are
	// connected. The run with them takes as long as they do; that without, as long as it says.
	Storm int
	// Rounds measure the fan-out without and with the disturbance, each on a server of its
	// own. 0 is one run with it, and none without.
	Rounds int
}

// DisturbResult is the rounds and what they amount to.
type DisturbResult struct {
	Scenario    string         `json:"scenario"` // slow, churn, rush or mixed
	Target      string         `json:"target"`
	Rounds      []DisturbRound `json:"rounds"`
	Summary     []Figure       `json:"summary"` // of the rounds that count, or of the one interrupted
	Interrupted bool           `json:"interrupted,omitempty"`
	Failed      string         `json:"failed,omitempty"` // of the first run that doesn't count
}

// DisturbRound is a run on an undisturbed server and one on a disturbed server. Either may
// be missing.
type DisturbRound struct {
	Without *DisturbRun `json:"without,omitempty"`
	With    *DisturbRun `json:"with,omitempty"`
}

// Slow measures what clients that stop reading cost the others.
func Slow(ctx context.Context, o DisturbOptions) (*DisturbResult, error) {
	if o.Stalled == 0 {
		return nil, fmt.Errorf("%w: stalled: 0 of the clients; above 0, at most %v", ErrOptions, maxStalled)
	}
	return disturb(ctx, "slow", o)
}

// Churn measures what coming and leaving costs, and whether those who stay notice.
func Churn(ctx context.Context, o DisturbOptions) (*DisturbResult, error) {
	if o.Churn == 0 {
		return nil, fmt.Errorf("%w: churn: 0 clients a second; above 0", ErrOptions)
	}
	return disturb(ctx, "churn", o)
}

// Rush measures what it costs those who are connected that very many others come at once.
func Rush(ctx context.Context, o DisturbOptions) (*DisturbResult, error) {
	if o.Storm == 0 {
		return nil, fmt.Errorf("%w: storm: 0 clients; above 0", ErrOptions)
	}
	return disturb(ctx, "rush", o)
}

// Mixed measures all of it at once.
func Mixed(ctx context.Context, o DisturbOptions) (*DisturbResult, error) {
	return disturb(ctx, "mixed", o)
}

func (o *DisturbOptions) validate() error {
	if err := o.FanoutOptions.validate(); err != nil {
		return err
	}
	if o.Sizes != nil {
		if err := o.Sizes.validate(); err != nil {
			return err
		}
	}
	o.sizes = o.Sizes
	o.Load.roles = roles{Stalled: o.Stalled, Churn: o.Churn > 0}
	stop, _ := o.Load.roles.count(o.Load.Clients)
	switch {
	case !(o.Stalled >= 0 && o.Stalled <= maxStalled):
		return fmt.Errorf("%w: stalled: %v of the clients; 0 to %v", ErrOptions, o.Stalled, maxStalled)
	case !(o.Churn >= 0 && o.Churn <= 1e6):
		return fmt.Errorf("%w: churn: %v clients a second; 0 to a million", ErrOptions, o.Churn)
	case o.Load.Clients < clientsPerWorker:
		return fmt.Errorf("%w: clients: %d; at least %d", ErrOptions, o.Load.Clients, clientsPerWorker)
	case o.Stalled > 0 && stop == 0:
		return fmt.Errorf("%w: stalled: %v of %d clients is none", ErrOptions, o.Stalled, o.Load.Clients)
	case o.Storm < 0:
		return fmt.Errorf("%w: storm: %d clients; at least 0", ErrOptions, o.Storm)
	case o.Storm > 0 && o.Rate == 0:
		return fmt.Errorf("%w: rate: 0 messages a second; above 0 while %d clients come", ErrOptions, o.Storm)
	case o.Rounds < 0:
		return fmt.Errorf("%w: rounds: %d; at least 0", ErrOptions, o.Rounds)
	}
	return nil
}

// undisturbed is the same load without the disturbance.
func (o DisturbOptions) undisturbed() DisturbOptions {
	o.Stalled, o.Churn, o.Storm, o.Load.roles = 0, 0, 0, roles{}
	return o
}

func disturb(ctx context.Context, scenario string, o DisturbOptions) (*DisturbResult, error) {
	o.defaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	r := &DisturbResult{Scenario: scenario, Target: o.Target.Name}
	for i := range max(o.Rounds, 1) {
		round, err := r.round(ctx, o, i)
		if round != (DisturbRound{}) {
			r.Rounds = append(r.Rounds, round)
		}
		switch {
		case err != nil && len(r.Rounds) == 0:
			return nil, err
		case errors.Is(err, context.Canceled):
			r.Interrupted = true
		case err != nil && r.Failed == "":
			r.Failed = err.Error()
		}
		if err != nil || r.Interrupted {
			break
		}
	}
	r.summarise()
	return r, nil
}

// round measures without and with the disturbance. What there is before an error counts.
func (r *DisturbResult) round(ctx context.Context, o DisturbOptions, i int) (round DisturbRound, err error) {
	if o.Rounds == 0 {
		round.With, err = r.measure(ctx, o, "")
		return round, err
	}
	name := fmt.Sprintf("round %d/%d, ", i+1, o.Rounds)
	round.Without, err = r.measure(ctx, o.undisturbed(), name+"without: ")
	if err == nil && !r.Interrupted {
		round.With, err = r.measure(ctx, o, name+"with: ")
	}
	return round, err
}

// measure makes one run and notes how it ended.
func (r *DisturbResult) measure(ctx context.Context, o DisturbOptions, name string) (*DisturbRun, error) {
	progress := o.Progress
	o.Progress = func(phase string, done, of int64) { progress(name+phase, done, of) }
	s, err := startSession(ctx, o.Options)
	if err != nil {
		return nil, err
	}
	run, err := s.disturb(ctx, &o)
	if closing := s.close(); closing != nil && err == nil && run.Failed == "" {
		run.Failed = closing.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %s%w%s", r.Scenario, r.Target, name, err, s.server.errors.suffix())
	}
	run.Failed = s.explained(run.Failed)
	r.Interrupted = r.Interrupted || run.Interrupted
	if run.Failed != "" && r.Failed == "" {
		r.Failed = name + run.Failed
	}
	return run, nil
}
