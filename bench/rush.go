package bench

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// rush publishes while very many clients come, from processes of their own: those who
// record when messages arrive have nothing else to do. Who comes leaves as soon as it is
// connected, so that each message has the same clients to go to all the time.
func (s *session) rush(ctx context.Context, p *publisher, o *DisturbOptions, r *DisturbRun) (trouble, err error) {
	many := o.Load
	many.Clients, many.Workers, many.brief, many.roles = o.Storm, 0, true, roles{}
	storm, err := startLoad(many, s.apart)
	if err != nil {
		return nil, err
	}
	defer storm.Close()
	var over atomic.Bool
	var took time.Duration
	failed := make(chan error, 1)
	go func() {
		defer over.Store(true)
		var err error
		took, err = storm.Connect(ctx, s.server.address, nil)
		failed <- err
	}()
	trouble = s.phase(ctx, p, &o.FanoutOptions, limit{ended: over.Load}, "measuring")
	if err := <-failed; err != nil {
		return errors.Join(trouble, fmt.Errorf("the storm: %w", err)), nil
	}
	r.Came = float64(o.Storm) / took.Seconds()
	report, _, upgrades, err := storm.Finish(ctx, 0)
	if err != nil {
		return nil, errors.Join(trouble, err)
	}
	if report.Any() {
		trouble = errors.Join(trouble, fmt.Errorf("the storm: %s; %s", report.Faults, report.Error))
	}
	r.Upgrades = latencyOf(upgrades)
	return trouble, nil
}
