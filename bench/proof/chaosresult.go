package proof

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Record is what a scenario has seen.
type Record struct {
	Name    string   `json:"name"`
	What    string   `json:"what"`
	Seconds float64  `json:"seconds"`
	Facts   []string `json:"facts"`            // figures
	Failed  string   `json:"failed,omitempty"` // empty: it held
	Absent  string   `json:"absent,omitempty"` // why it couldn't be played here

	optional bool // Absent is no failure
}

func (r *Record) fact(format string, args ...any) {
	r.Facts = append(r.Facts, fmt.Sprintf(format, args...))
}

// ChaosResult is what all of them have.
type ChaosResult struct {
	Records []*Record `json:"records"`
	Failed  string    `json:"failed,omitempty"`
}

func (r *ChaosResult) verdict() string {
	var bad []string
	for _, record := range r.Records {
		switch {
		case record.Failed != "":
			bad = append(bad, record.Name+": "+record.Failed)
		case record.Absent != "" && !record.optional:
			bad = append(bad, record.Name+": "+record.Absent+"; -only plays the others")
		}
	}
	return strings.Join(bad, "\n")
}

// WriteTable writes the result for people.
func (r *ChaosResult) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, record := range r.Records {
		outcome := "held"
		if record.Failed != "" {
			outcome = "FAILED"
		} else if record.Absent != "" {
			outcome = "NOT PLAYED"
		}
		fmt.Fprintf(t, "%s\t%s\t%s, %.1f s\n", record.Name, outcome, record.What, record.Seconds)
		if record.Absent != "" {
			fmt.Fprintf(t, "\t\t%s\n", record.Absent)
		}
		for _, f := range record.Facts {
			fmt.Fprintf(t, "\t\t%s\n", f)
		}
	}
	return t.Flush()
}
