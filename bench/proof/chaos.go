package proof

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// scenario is one way in which the world fails. What it has seen goes into the record.
type scenario struct {
	name, what string
	play       func(*ChaosOptions, context.Context, *Record) error
}

var scenarios = append([]scenario{
	{"kill", "kill -9 under load, and a new start", (*ChaosOptions).kill},
	{"power", "the power of the disk cut under load, and a new start", (*ChaosOptions).power},
	{"pause", "SIGSTOP, and SIGCONT much later", (*ChaosOptions).pause},
	{"port", "the API's port taken by another process at the start, and flooded", (*ChaosOptions).port},
	{"full", "no room in the data directory", (*ChaosOptions).full},
	{"read-only", "the data directory is read-only", (*ChaosOptions).readOnly},
	{"lock", "another process holds the database's lock", (*ChaosOptions).lock},
}, clusterScenarios()...)

// errAbsent is wrapped by errors of scenarios that this machine doesn't let happen.
var errAbsent = errors.New("it can't be played here")

// Chaos plays the scenarios one after another.
func Chaos(ctx context.Context, o ChaosOptions) (*ChaosResult, error) {
	o.defaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	r := &ChaosResult{}
	for i, s := range scenarios {
		if len(o.Only) > 0 && !slices.Contains(o.Only, s.name) {
			continue
		}
		o.Progress(s.name, int64(i), int64(len(scenarios)))
		record := &Record{Name: s.name, What: s.what}
		start := time.Now()
		err := s.play(&o, ctx, record)
		record.Seconds = time.Since(start).Seconds()
		switch {
		case ctx.Err() != nil:
			return r, fmt.Errorf("interrupted in %s: %w", s.name, ctx.Err())
		case errors.Is(err, errAbsent):
			record.Absent, record.optional = err.Error(), errors.Is(err, errNoDisk) && len(o.Only) == 0
		case err != nil:
			record.Failed = err.Error()
		}
		r.Records = append(r.Records, record)
	}
	r.Failed = r.verdict()
	return r, nil
}
