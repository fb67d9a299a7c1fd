package proof

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// SoakResult is what a soak has found.
type SoakResult struct {
	Runs   []*SoakRun `json:"runs"`
	Failed string     `json:"failed,omitempty"` // empty: nothing was left, nobody was wronged
}

// SoakRun is one daemon's.
type SoakRun struct {
	Policy  string         `json:"policy"`
	Routed  bool           `json:"routed"` // by subscription
	Seconds float64        `json:"seconds"`
	Start   Sample         `json:"start"` // everything was used once, nobody is there
	End     Sample         `json:"end"`   // the last client has left
	Samples []Sample       `json:"samples"`
	Trends  []Trend        `json:"trends"`
	Counts  map[string]int `json:"counts"` // what clients did
	Leaks   []string       `json:"leaks,omitempty"`
	Wrongs  []string       `json:"wrongs,omitempty"`
}

func (r *SoakResult) verdict() string {
	var found []string
	for _, run := range r.Runs {
		for _, w := range append(slices.Clone(run.Wrongs), run.Leaks...) {
			found = append(found, run.Policy+": "+w)
		}
	}
	if len(found) == 0 {
		return ""
	}
	return fmt.Sprintf("%d things were found, the first: %s", len(found), found[0])
}

// WriteTable writes the result for people.
func (r *SoakResult) WriteTable(w io.Writer) error {
	for _, run := range r.Runs {
		if err := run.writeTable(w); err != nil {
			return err
		}
	}
	return nil
}

func (r *SoakRun) writeTable(w io.Writer) error {
	routing := "all to all"
	if r.Routed {
		routing = "topics and changes to subscribers"
	}
	fmt.Fprintf(w, "-slow %s, %s: %.0f s, %d samples, %.0f connections accepted, %.0f messages delivered\n",
		r.Policy, routing, r.Seconds, len(r.Samples), r.End.Accepted, r.End.Delivered)
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "figure\tstart\tleast\tmedian\tmost\tan hour\tend\t")
	for i, f := range figures {
		trend := Trend{}
		if len(r.Trends) > i {
			trend = r.Trends[i]
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", f.name, f.text(f.of(r.Start)), f.text(trend.Least), f.text(trend.Median),
			f.text(trend.Most), signed(f, trend.PerHour), f.text(f.of(r.End)))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	var did []string
	for _, what := range slices.Sorted(maps.Keys(r.Counts)) {
		did = append(did, fmt.Sprintf("%s %d", what, r.Counts[what]))
	}
	fmt.Fprintln(w, strings.Join(did, ", "))
	for _, l := range r.Leaks {
		fmt.Fprintln(w, "LEFT BEHIND:", l)
	}
	for _, wrong := range r.Wrongs {
		fmt.Fprintln(w, "WRONG:", wrong)
	}
	if len(r.Leaks)+len(r.Wrongs) == 0 {
		fmt.Fprintln(w, "every client that read got each message once and in order; all is back at the start")
	}
	fmt.Fprintln(w)
	return nil
}

func signed(f figure, v float64) string {
	if v > 0 {
		return "+" + f.text(v)
	}
	return f.text(v)
}
