package bench

import (
	"context"
	"fmt"
	"slices"
)

// ConnectionCosts is what connections cost several servers: memory and handshakes.
type ConnectionCosts struct {
	Clients int                 `json:"clients"`
	Rounds  []ConnectionRound   `json:"rounds"`
	Summary []ConnectionSummary `json:"summary"` // in the order of the targets
}

// ConnectionRound is both results for each target, or why there are none.
type ConnectionRound struct {
	Idle   []*IdleResult     `json:"idle"`
	Storm  []*StormResult    `json:"storm"`
	Errors map[string]string `json:"errors,omitempty"` // by target
}

// ConnectionSummary is one target over all rounds.
type ConnectionSummary struct {
	Target    string `json:"target"`
	User      Spread `json:"user_per_connection"`
	Kernel    Spread `json:"kernel_per_connection"` // of both ends: slab and buffers
	Handshake Spread `json:"cpu_per_handshake_ns"`
	Connects  Spread `json:"connects_per_second"`
	Failures  int    `json:"failures"` // results that don't count
}

// measureConnections looks at all targets in turn, round after round, until ctx ends.
func measureConnections(ctx context.Context, o IdleOptions, targets []Target, rounds int) *ConnectionCosts {
	c := &ConnectionCosts{Clients: o.Load.Clients}
	o.defaults()
	progress := o.Progress
	for i := range rounds {
		c.Rounds = append(c.Rounds, ConnectionRound{Errors: map[string]string{}})
		for _, t := range targets {
			o.Target = t
			o.Progress = func(phase string, done, of int64) {
				progress(fmt.Sprintf("connections, round %d/%d, %s: %s", i+1, rounds, t.Name, phase), done, of)
			}
			c.Rounds[i].measure(ctx, o)
		}
	}
	for _, t := range targets {
		c.Summary = append(c.Summary, c.summary(t.Name))
	}
	return c
}

func (r *ConnectionRound) measure(ctx context.Context, o IdleOptions) {
	if ctx.Err() != nil {
		return
	}
	storm, err := Storm(ctx, o.Options)
	if err == nil {
		storm.Latency.Curve = nil
		r.Storm = append(r.Storm, storm)
		var idle *IdleResult
		if idle, err = Idle(ctx, o); err == nil {
			r.Idle = append(r.Idle, idle)
		}
	}
	if err != nil && ctx.Err() == nil {
		r.Errors[o.Target.Name] = err.Error()
	}
}

func (c *ConnectionCosts) summary(target string) ConnectionSummary {
	s := ConnectionSummary{Target: target}
	var user, kernel, handshake, connects []float64
	for _, round := range c.Rounds {
		if round.Errors[target] != "" {
			s.Failures++
		}
		for _, r := range round.Idle {
			switch {
			case r.Target != target || r.Interrupted:
			case r.Failed != "":
				s.Failures++
			default:
				user = append(user, r.User)
				kernel = append(kernel, r.Slab+r.Buffers)
			}
		}
		for _, r := range round.Storm {
			switch {
			case r.Target != target:
			case r.Failed != "":
				s.Failures++
			default:
				handshake = append(handshake, r.PerHandshake)
				connects = append(connects, r.PerSecond)
			}
		}
	}
	s.User, s.Kernel = spreadOf(user), spreadOf(kernel)
	s.Handshake, s.Connects = spreadOf(handshake), spreadOf(connects)
	return s
}

// of is a target's summary, of no rounds when it wasn't measured.
func (c *ConnectionCosts) of(target string) ConnectionSummary {
	i := slices.IndexFunc(c.Summary, func(s ConnectionSummary) bool { return s.Target == target })
	if i < 0 {
		return ConnectionSummary{Target: target}
	}
	return c.Summary[i]
}
