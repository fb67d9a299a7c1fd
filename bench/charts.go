package bench

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/busbar-ws/busbar/bench/report"
)

// nsText is a time in nanoseconds with three digits.
func nsText(v float64) string {
	for _, unit := range []struct {
		ns   float64
		name string
	}{{1e9, "s"}, {1e6, "ms"}, {1e3, "µs"}} {
		if v >= unit.ns*0.9995 {
			return threeDigits(v/unit.ns) + " " + unit.name
		}
	}
	return threeDigits(v) + " ns"
}

// threeDigits keeps all digits before the point, and no zeros at the end behind it.
func threeDigits(v float64) string {
	digits := 2
	for limit := 9.995; v >= limit && digits > 0; limit *= 10 {
		digits--
	}
	text := strconv.FormatFloat(v, 'f', digits, 64)
	if digits == 0 {
		return text
	}
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

// curveChart is a chart of latencies.
func curveChart(title, note string, lines ...report.Line) report.Curves {
	return report.Curves{Title: title, Note: note, Lines: lines, Format: nsText}
}

func (l Latency) line(name string) report.Line {
	line := report.Line{Name: name}
	for _, q := range l.Curve {
		line.Points = append(line.Points, report.Point{Quantile: q.Percent, At: float64(q.NS)})
	}
	return line
}

// shareOfCPU is what a server's CPU time went to, per delivery or whatever each stands for.
type shareOfCPU struct {
	target string
	cpu    CPU
	each   float64
}

// cpuChart splits each server's CPU time. The exact time of a process is split as the
// coarse times of user space and kernel are.
func cpuChart(title, note string, shares ...shareOfCPU) report.Bars {
	b := report.Bars{Title: title, Note: note, Series: []string{"user space", "kernel", "ksoftirqd"}, Stacked: true}
	for _, s := range shares {
		row := report.Row{Label: s.target}
		if coarse := float64(s.cpu.User + s.cpu.System); coarse > 0 && s.each > 0 {
			process := float64(s.cpu.Process) / s.each
			for _, v := range []float64{process * float64(s.cpu.User) / coarse, process * float64(s.cpu.System) / coarse, float64(s.cpu.Ksoftirqd) / s.each} {
				row.Values = append(row.Values, report.Value{At: v, Text: nsText(v)})
			}
			row.Total = nsText(float64(s.cpu.Server()) / s.each)
		} else {
			row.Total = "too short to tell"
		}
		b.Rows = append(b.Rows, row)
	}
	return b
}

func (r *FanoutResult) load() string {
	text := fmt.Sprintf("%d clients, messages of %d bytes, ", r.Clients, r.Size)
	switch {
	case r.Rate > 0:
		return text + fmt.Sprintf("%g a second", r.Rate)
	case r.Window == 1:
		return text + "one at a time"
	}
	return text + fmt.Sprintf("%d in flight", r.Window)
}

// Charts are how latencies are distributed, and what the CPU was used for.
func (r *FanoutResult) Charts() []report.Chart {
	if r.Deliveries == 0 {
		return nil
	}
	lines := []report.Line{r.Latency.line("delivery")}
	if r.Rate > 0 {
		lines = append(lines, r.Late.line("publisher late"))
	}
	return []report.Chart{
		curveChart("Latency of delivery", r.load()+": so many percent took this long or less.", lines...),
		cpuChart("CPU per delivery", "Of the server's process, and of ksoftirqd on its cores.", shareOfCPU{r.Target, r.CPU, float64(r.Deliveries)}),
	}
}

// Charts are how long connecting took, and what the CPU was used for.
func (r *StormResult) Charts() []report.Chart {
	return []report.Chart{
		curveChart("Latency of connecting", fmt.Sprintf("%d clients, upgrade included: so many percent took this long or less.", r.Clients),
			r.Latency.line("connect")),
		cpuChart("CPU per handshake", "Of the server's process, and of ksoftirqd on its cores.", shareOfCPU{r.Target, r.CPU, float64(r.Clients)}),
	}
}

// Charts are what a connection holds.
func (r *IdleResult) Charts() []report.Chart {
	b := report.Bars{
		Title: "Memory per idle connection",
		Note:  fmt.Sprintf("%s, %d clients. The kernel's part is that of both ends.", r.Target, r.Clients),
	}
	for _, part := range []struct {
		label string
		bytes float64
		text  func(float64) string
		rank  report.Rank
		sent  bool // known only when a message went out
	}{
		{"user", r.User, size, report.Own, false},
		{"user, after a broadcast", r.UserSent, size, report.Own, true},
		{"kernel, slab", r.Slab, ofMachine, report.Other, false},
		{"kernel, buffers", r.Buffers, ofMachine, report.Other, false},
	} {
		if part.sent && !r.broadcast() {
			continue
		}
		b.Rows = append(b.Rows, report.Row{
			Label: part.label, Rank: part.rank,
			Values: []report.Value{{At: max(part.bytes, 0), Text: part.text(part.bytes)}},
		})
	}
	return []report.Chart{b}
}
