package bench

import (
	"io"
	"strings"
	"testing"
)

// A run that was interrupted or failed before it had figures shows none, rather than zeros.
func TestTablesWithoutFigures(t *testing.T) {
	for _, test := range []struct {
		name   string
		result interface{ WriteTable(w io.Writer) error }
		want   string
		absent string
	}{
		{"fanout", &FanoutResult{Interrupted: true}, "none were measured", "CPU per delivery"},
		{"rows", &RowsResult{Interrupted: true}, "not measured", "0 loops"},
		{"rows, subscribing", &RowsResult{Interrupted: true, Subscriptions: 5, SubscribeSeconds: 1}, "5 in 1.00 s, 5 a second", "CPU"},
		{"compare without its base", &Comparison{Interrupted: true, Summary: make([]Summary, 2)}, "-base names one", "FAILED"},
		{"compare of one", &Comparison{Interrupted: true, Summary: make([]Summary, 1)}, "rounds", "-base"},
		{"compare", &Comparison{Interrupted: true, Base: "raw"}, "to raw", "-base"},
		{"loops", &LoopsResult{Interrupted: true}, "not every round is there", "FAILED"},
		{"presence", &PresenceResult{Interrupted: true}, "none were measured", "p50"},
		{"mixed", &DisturbResult{Scenario: "mixed", Interrupted: true, Rounds: []DisturbRound{{With: &DisturbRun{}}}},
			"nothing else was measured", "delivery p50"},
		{"slow, half a round", &DisturbResult{Scenario: "slow", Interrupted: true, Rounds: []DisturbRound{{
			Without: &DisturbRun{FanoutResult: FanoutResult{Report: Report{Measured: 1}}},
			With:    &DisturbRun{FanoutResult: FanoutResult{Interrupted: true, Report: Report{Measured: 1}}},
		}}}, "\nwith: of the run that was interrupted", "without: of"},
		{"slow", &DisturbResult{Scenario: "slow", Interrupted: true, Rounds: []DisturbRound{{With: &DisturbRun{
			Stalled: 0.1, FanoutResult: FanoutResult{Report: Report{Stalled: Stalled{Clients: 2, CaughtUp: 2}}}}}}}, "2 caught up", "takes a longer run"},
	} {
		var b strings.Builder
		if err := test.result.WriteTable(&b); err != nil {
			t.Fatal(err)
		}
		if text := b.String(); !strings.Contains(text, test.want) || !strings.Contains(text, "interrupted") || strings.Contains(text, test.absent) {
			t.Errorf("%s: want %q and no %q in\n%s", test.name, test.want, test.absent, text)
		}
	}
}

func TestDifferencesBelowNothing(t *testing.T) {
	if text := aboveNoise(-8e6); text != "–" {
		t.Errorf("below nothing: %q", text)
	}
	if text := aboveNoise(8e6); text != span(8e6) {
		t.Errorf("8 ms: %q", text)
	}
}
