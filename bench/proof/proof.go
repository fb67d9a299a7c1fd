// Package proof shows that a Busbar daemon stays whole: Soak lets clients of every manner come
// and go for as long as one likes and looks whether anything is left of them, Chaos takes away
// what the daemon stands on. Both start the daemon as a process of its own with a real data
// directory, talk to it over sockets and HTTP alone, and check all along that every client
// that reads gets each message exactly once and in order.
//
// What a client is owed is told by streams: sequences of numbered messages. A Book has all of
// them, and an account for each connection says which it gets and how far it has come.
package proof

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/busbar-ws/busbar/bench"
)

// Options say how long and how hard, and with what.
type Options struct {
	Program    string   // the daemon
	Args       []string // for it, behind those of the proof
	NATSServer string   // program of a NATS that the nodes don't run themselves; empty: there is none

	Clients int           // chaos: 0 is 100, with three nodes 12
	Rate    float64       // messages a second; chaos: 0 is 1000, with three nodes 1500
	Rounds  int           // of kill -9, and of logs
	Events  int           // that are compared with three nodes at least, and by logs in each round
	Load    time.Duration // before a disaster

	// Of chaos.
	Only  []string      // names of scenarios; empty: all
	Pause time.Duration // between SIGSTOP and SIGCONT. Other faults of nodes last for a third of it
	Bound time.Duration // within which a client has to see that the server is gone

	// Of soak, for each daemon.
	Duration time.Duration
	Policies []string // daemons side by side, one for each -slow
	Storm    int      // clients that come all at once, and go all at once

	// Of recovery.
	Crowds []int   // numbers of clients, one run for each
	Return float64 // clients a second that come back
	Size   int     // of a change's data, in bytes

	Progress func(what string, done, of int64) // may be nil for soak and chaos
}

// ErrOptions is wrapped by errors about options.
var ErrOptions = errors.New("options")

func (o *Options) validate() error {
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
	for _, name := range o.Only {
		if !slices.ContainsFunc(scenarios, func(s scenario) bool { return s.name == name }) {
			return fmt.Errorf("%w: %q is no scenario", ErrOptions, name)
		}
	}
	for _, p := range o.Policies {
		if p != "disconnect" && p != "drop-oldest" {
			return fmt.Errorf("%w: policy %q: disconnect or drop-oldest", ErrOptions, p)
		}
	}
	if min(o.Clients, o.Rounds, o.Events, o.Storm) < 0 || o.Rate < 0 || o.Rate > 10_000 || min(o.Load, o.Pause, o.Bound, o.Duration) < 0 {
		return fmt.Errorf("%w: %d clients, %d in a storm, %d rounds, %d events, load %v, pause %v, bound %v, duration %v, %g messages a second: below 0, or above 10000 messages",
			ErrOptions, o.Clients, o.Storm, o.Rounds, o.Events, o.Load, o.Pause, o.Bound, o.Duration, o.Rate)
	}
	return nil
}

// Result is what all runs have found.
type Result struct {
	Runs   []*Run `json:"runs"`
	Failed string `json:"failed,omitempty"` // empty: all held
}

// Run is one scenario, or one soaked daemon.
type Run struct {
	Name    string         `json:"name"`
	What    string         `json:"what"`
	Seconds float64        `json:"seconds"`
	Facts   []string       `json:"facts,omitempty"`
	Figures []Figure       `json:"figures,omitempty"`
	Counts  map[string]int `json:"counts,omitempty"`  // what clients did
	Samples []Sample       `json:"samples,omitempty"` // of the server, all along
	Wrongs  []string       `json:"wrongs,omitempty"`  // empty: it held
	Absent  string         `json:"absent,omitempty"`  // why it couldn't be played here

	optional bool // Absent is no failure
}

func (r *Run) fact(format string, args ...any) {
	r.Facts = append(r.Facts, fmt.Sprintf(format, args...))
}

func (r *Run) wrong(err error) {
	if err != nil {
		r.Wrongs = append(r.Wrongs, err.Error())
	}
}

func (r *Result) verdict() *Result {
	var bad []string
	for _, run := range r.Runs {
		if len(run.Wrongs) > 0 {
			first, _, _ := strings.Cut(run.Wrongs[0], "\n")
			bad = append(bad, run.Name+": "+first)
		} else if run.Absent != "" && !run.optional {
			bad = append(bad, run.Name+": "+run.Absent+"; -only plays the others")
		}
	}
	r.Failed = strings.Join(bad, "\n")
	return r
}

// WriteTable writes the result for people.
func (r *Result) WriteTable(w io.Writer) error {
	for _, run := range r.Runs {
		outcome := "held"
		if len(run.Wrongs) > 0 {
			outcome = "FAILED"
		} else if run.Absent != "" {
			outcome = "NOT PLAYED, " + run.Absent
		}
		fmt.Fprintf(w, "%s: %s (%s, %.1f s)\n", run.Name, outcome, run.What, run.Seconds)
		for _, f := range run.Facts {
			fmt.Fprintln(w, "  "+f)
		}
		if len(run.Figures) > 0 {
			if err := tableOf(run.Figures).Write(w); err != nil {
				return err
			}
		}
		for _, what := range slices.Sorted(maps.Keys(run.Counts)) {
			fmt.Fprintf(w, "  %s: %d\n", what, run.Counts[what])
		}
		for _, wrong := range run.Wrongs {
			fmt.Fprintln(w, "  WRONG:", wrong)
		}
	}
	return nil
}

func tableOf(figures []Figure) bench.Table {
	t := bench.Table{Head: []string{"figure", "unit", "least", "median", "most", "an hour", "start", "end"}}
	for _, f := range figures {
		row := []string{f.Name, f.Unit}
		for _, v := range []float64{f.Least, f.Median, f.Most, f.PerHour, f.Start, f.End} {
			row = append(row, fmt.Sprintf("%.4g", v))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// pause waits, and says whether the time is up and not the context.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// poll asks every so often until it is so, there is an error, ctx ends, or it has taken too long, which is errLate.
func poll(ctx context.Context, most, every time.Duration, ok func() (bool, error)) error {
	for late := time.Now().Add(most); ; {
		yes, err := ok()
		switch {
		case yes || err != nil:
			return err
		case time.Now().After(late):
			return fmt.Errorf("%w: %v", errLate, most)
		case !pause(ctx, every):
			return ctx.Err()
		}
	}
}

var errLate = errors.New("it didn't come in time")
