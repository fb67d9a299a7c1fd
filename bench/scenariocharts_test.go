package bench

import (
	"testing"

	"github.com/busbar-ws/busbar/bench/report"
)

// Each scenario with phases draws a line and a bar for each that has deliveries, and nothing
// for those that have none.
func TestScenariosHaveCharts(t *testing.T) {
	t.Parallel()
	latency := Latency{Count: 1, Curve: []Quantile{{Percent: 50, NS: 5}}}
	cpu := CPU{Process: 40, User: 10, System: 30}
	run := &DisturbRun{}
	run.Deliveries, run.Report.Measured, run.Latency, run.CPU = 10, 10, latency, cpu
	for name, charts := range map[string][]report.Chart{
		"slow":     (&DisturbResult{Scenario: "slow", Rounds: []DisturbRound{{Without: run, With: run}}}).Charts(),
		"rows":     (&RowsResult{ToRows: RowsPhase{Deliveries: 10, Latency: latency, CPU: cpu}, ToAll: RowsPhase{Deliveries: 10, Latency: latency, CPU: cpu}}).Charts(),
		"presence": (&PresenceResult{Target: "busbar", Deliveries: 10, Latency: latency, Late: latency, CPU: cpu}).Charts(),
	} {
		if len(charts) != 2 {
			t.Errorf("%s: %d charts, want 2", name, len(charts))
			continue
		}
		bars := charts[1].(report.Bars)
		for _, row := range bars.Rows {
			if row.Total != "4 ns" {
				t.Errorf("%s: CPU of %s is %q, want 4 ns", name, row.Label, row.Total)
			}
		}
		if want := map[string]int{"slow": 2, "rows": 2, "presence": 1}[name]; len(bars.Rows) != want {
			t.Errorf("%s: %d bars, want %d", name, len(bars.Rows), want)
		}
	}
	for name, charts := range map[string][]report.Chart{
		"mixed": new(DisturbResult).Charts(), "rows": new(RowsResult).Charts(), "presence": new(PresenceResult).Charts(),
	} {
		if charts != nil {
			t.Errorf("%s without deliveries has %d charts", name, len(charts))
		}
	}
}
