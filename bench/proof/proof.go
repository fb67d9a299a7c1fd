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
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// Options say how long and how hard, and with what.
type Options struct {
	Program    string   // the daemon
	Args       []string // for it, behind those of the proof
	NATSServer string   // program of a NATS that the nodes don't run themselves; empty: there is none

	Clients int     // chaos: 0 is 100, with three nodes 12
	Rate    float64 // messages a second; chaos: 0 is 1000, with three nodes 1500
	Rounds  int     // of kill -9, and of logs
	Events  int     // that are compared with three nodes at least, and by logs in each round

	// Of chaos.
	Only  []string      // names of scenarios; empty: all
	Load  time.Duration // between two disasters
	Pause time.Duration // between SIGSTOP and SIGCONT. Other faults of nodes last for a third of it
	Bound time.Duration // within which a client has to see that the server is gone

	// Of soak, for each daemon.
	Duration time.Duration
	Policies []string // daemons side by side, one for each -slow
	Storm    int      // clients that come all at once, and go all at once

	Progress func(what string, done, of int64) // called by one goroutine at a time; may be nil
}

// ErrOptions is wrapped by errors about options.
var ErrOptions = errors.New("options")

func (o *Options) validate() error {
	var mu sync.Mutex
	show := o.Progress
	o.Progress = func(what string, done, of int64) {
		mu.Lock()
		defer mu.Unlock()
		if show != nil {
			show(what, done, of)
		}
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
	if o.Clients < 0 || o.Rounds < 0 || o.Events < 0 || o.Storm < 0 || o.Rate < 0 || o.Rate > 10_000 || min(o.Load, o.Pause, o.Bound, o.Duration) < 0 {
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

// Run is one scenario, one soaked daemon, or one change log.
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

// Figure is a number over a run. Start and End are of a run's own, where it has them.
type Figure struct {
	Name    string  `json:"name"`
	Unit    string  `json:"unit,omitempty"`
	Start   float64 `json:"start,omitempty"`
	Least   float64 `json:"least"`
	Median  float64 `json:"median"`
	Most    float64 `json:"most"`
	PerHour float64 `json:"per_hour,omitempty"` // slope of the line that fits best (least squares)
	End     float64 `json:"end,omitempty"`

	grown float64 // how far the median of the last third is above that of the first
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
		if err := writeFigures(w, run.Figures, len(run.Samples) > 0); err != nil {
			return err
		}
		var did []string
		for _, what := range slices.Sorted(maps.Keys(run.Counts)) {
			did = append(did, fmt.Sprintf("%s %d", what, run.Counts[what]))
		}
		if len(did) > 0 {
			fmt.Fprintln(w, "  "+strings.Join(did, ", "))
		}
		for _, wrong := range run.Wrongs {
			fmt.Fprintln(w, "  WRONG:", wrong)
		}
	}
	return nil
}

// writeFigures has those of a start and an end where there are.
func writeFigures(w io.Writer, figures []Figure, ends bool) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	for i, f := range figures {
		if i == 0 {
			fmt.Fprint(t, "  figure\tunit\tleast\tmedian\tmost\t")
			if ends {
				fmt.Fprint(t, "an hour\tstart\tend\t")
			}
			fmt.Fprintln(t)
		}
		fmt.Fprintf(t, "  %s\t%s\t%.4g\t%.4g\t%.4g\t", f.Name, f.Unit, f.Least, f.Median, f.Most)
		if ends {
			fmt.Fprintf(t, "%+.4g\t%.4g\t%.4g\t", f.PerHour, f.Start, f.End)
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}
