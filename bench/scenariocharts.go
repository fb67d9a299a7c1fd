package bench

import (
	"fmt"

	"github.com/busbar-ws/busbar/bench/report"
)

// Charts are the latencies of the latest round, without and with the disturbance, and what
// the CPU was used for.
func (r *DisturbResult) Charts() []report.Chart {
	if len(r.Rounds) == 0 {
		return nil
	}
	last := r.Rounds[len(r.Rounds)-1]
	var lines []report.Line
	var shares []shareOfCPU
	for _, run := range []struct {
		name string
		*DisturbRun
	}{{"without", last.Without}, {"with", last.With}} {
		if run.DisturbRun == nil || run.Deliveries == 0 {
			continue
		}
		lines = append(lines, run.Latency.line(run.name))
		shares = append(shares, shareOfCPU{run.name, run.CPU, float64(run.Report.Measured)})
	}
	if len(lines) == 0 {
		return nil
	}
	return []report.Chart{
		curveChart("Latency of delivery to those who read and stay", fmt.Sprintf("%s, round %d: so many percent took this long or less.",
			r.Scenario, len(r.Rounds)), lines...),
		cpuChart("CPU per delivery", "Of the server's process, and of ksoftirqd on its cores.", shares...),
	}
}

// Charts are the latencies of the three phases, and what the CPU was used for.
func (r *RowsResult) Charts() []report.Chart {
	var lines []report.Line
	var shares []shareOfCPU
	for _, phase := range []struct {
		name string
		*RowsPhase
	}{{"to rows", &r.ToRows}, {"to as many clients", &r.ToSome}, {"to all", &r.ToAll}} {
		if phase.Deliveries > 0 {
			lines = append(lines, phase.Latency.line(phase.name))
			shares = append(shares, shareOfCPU{phase.name, phase.CPU, float64(phase.Deliveries)})
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return []report.Chart{
		curveChart("Latency of delivery", fmt.Sprintf("%d clients with %d rows each: so many percent took this long or less.",
			r.Clients, r.RowsEach), lines...),
		cpuChart("CPU per delivery", "Of the server's process, and of ksoftirqd on its cores.", shares...),
	}
}

// Charts are how latencies are distributed, and what the CPU was used for.
func (r *PresenceResult) Charts() []report.Chart {
	if r.Deliveries == 0 {
		return nil
	}
	return []report.Chart{
		curveChart("Latency of delivery", fmt.Sprintf("%d of %d clients send %g messages a second: so many percent took this long or less.",
			r.Senders, r.Clients, r.Rate), r.Latency.line("delivery"), r.Late.line("sender late")),
		cpuChart("CPU per delivery", "Of the server's process, and of ksoftirqd on its cores.",
			shareOfCPU{r.Target, r.CPU, float64(r.Deliveries)}),
	}
}
