package proof

import (
	"errors"
	"fmt"
	"time"
)

// SoakOptions say how long and how hard. Zero fields take the defaults named beside them.
type SoakOptions struct {
	Program  []string      // the daemon and arguments that come first
	Args     []string      // for the daemon, behind the soak's own: the last of a repeated flag counts
	Duration time.Duration // of the churn; default an hour
	Policies []string      // daemons side by side, one for each -slow; default disconnect and drop-oldest

	Steady   int // clients that stay from the beginning to the end; default 20
	Churners int // that come and go; default 60
	Limpers  int // that stop reading at times; default 6
	Storm    int // that come all at once, and go all at once; default 100

	Rate   float64       // messages a second, by HTTP, to each daemon; default 15
	Storms time.Duration // between two storms; default 30 s
	Every  time.Duration // between two samples; default 5 s
	Settle time.Duration // how long all may take to be back at the start; default 2 min

	Progress func(what string, done, of int64) // called by one goroutine at a time; may be nil
}

func (o *SoakOptions) defaults() {
	if len(o.Policies) == 0 {
		o.Policies = []string{"disconnect", "drop-oldest"}
	}
	for _, d := range []struct{ v, usual *time.Duration }{
		{&o.Duration, ptr(time.Hour)}, {&o.Storms, ptr(30 * time.Second)}, {&o.Every, ptr(5 * time.Second)}, {&o.Settle, ptr(2 * time.Minute)},
	} {
		if *d.v == 0 {
			*d.v = *d.usual
		}
	}
	for _, n := range []struct {
		v     *int
		usual int
	}{{&o.Steady, 20}, {&o.Churners, 60}, {&o.Limpers, 6}, {&o.Storm, 100}} {
		if *n.v == 0 {
			*n.v = n.usual
		}
	}
	if o.Rate == 0 {
		o.Rate = 15
	}
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
}

func ptr[T any](v T) *T { return &v }

// ErrOptions is wrapped by errors about options.
var ErrOptions = errors.New("options")

func (o *SoakOptions) validate() error {
	switch {
	case len(o.Program) == 0:
		return fmt.Errorf("%w: no program", ErrOptions)
	case o.Duration < 0 || o.Storms < 0 || o.Every < 0 || o.Settle < 0:
		return fmt.Errorf("%w: a time is below 0", ErrOptions)
	case o.Steady < 1 || o.Churners < 0 || o.Limpers < 0 || o.Storm < 0:
		return fmt.Errorf("%w: %d steady clients, %d churners, %d limpers, %d in a storm: at least one has to be steady", ErrOptions, o.Steady, o.Churners, o.Limpers, o.Storm)
	case o.Rate <= 0 || o.Rate > 1000:
		return fmt.Errorf("%w: a rate of %g isn't between 0 and 1000 messages a second", ErrOptions, o.Rate)
	}
	for _, p := range o.Policies {
		if p != "disconnect" && p != "drop-oldest" {
			return fmt.Errorf("%w: policy %q: disconnect or drop-oldest", ErrOptions, p)
		}
	}
	return nil
}
