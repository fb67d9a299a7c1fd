package bench

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/busbar-ws/busbar/bench/report"
)

// ownTarget is the name of the server that charts bring out.
const ownTarget = "busbar"

func rank(target, base string) report.Rank {
	switch target {
	case ownTarget:
		return report.Own
	case base:
		return report.Baseline
	}
	return report.Other
}

// spreadRow is a bar with its whisker. Without any round that counted it says so.
func spreadRow(target, base string, s Spread, text func(float64) string) report.Row {
	row := report.Row{Label: target, Rank: rank(target, base), Total: "no round that counts"}
	if s.Rounds > 0 {
		v := report.Value{At: s.Median, Low: s.Min, High: s.Max, Text: text(s.Median)}
		if s.Rounds > 1 && text(s.Min) != text(s.Max) {
			v.Detail = text(s.Min) + " – " + text(s.Max)
		}
		row.Values = []report.Value{v}
	}
	return row
}

// ascending sorts rows by their first value; those that have none come last.
func ascending(rows []report.Row) []report.Row {
	slices.SortStableFunc(rows, func(a, b report.Row) int {
		if len(a.Values) == 0 || len(b.Values) == 0 {
			return cmp.Compare(len(b.Values), len(a.Values))
		}
		return cmp.Compare(a.Values[0].At, b.Values[0].At)
	})
	return rows
}

// shortRatio has three digits or so, zeros included: 1.00 is not 1.
func shortRatio(v float64) string {
	switch {
	case v < 9.995:
		return fmt.Sprintf("%.2f", v)
	case v < 99.95:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// load is what all results have in common.
func (c *Comparison) load() string {
	for i := range c.Rounds {
		for _, r := range c.Rounds[i].Results {
			return r.load()
		}
	}
	return "nothing was measured"
}

// Charts are the ratio, or CPU without a base; what the CPU was used for; and latencies.
func (c *Comparison) Charts() []report.Chart {
	return []report.Chart{c.costChart(), c.splitChart(), c.latencyChart()}
}

func (c *Comparison) costChart() report.Bars {
	note := fmt.Sprintf("%s. %s Less is better.", c.load(), medians(c.measured()))
	b := report.Bars{Title: "CPU per delivery", Note: note}
	for _, s := range c.Summary {
		if c.Base == "" {
			b.Rows = append(b.Rows, spreadRow(s.Target, "", s.CPU, nsText))
		} else {
			b.Rows = append(b.Rows, spreadRow(s.Target, c.Base, s.Ratio, shortRatio))
		}
	}
	if c.Base != "" {
		b.Title, b.Line = "CPU per delivery, divided by that of "+c.Base, 1
	}
	ascending(b.Rows)
	return b
}

// measured is how many rounds have figures.
func (c *Comparison) measured() (rounds int) {
	for _, s := range c.Summary {
		rounds = max(rounds, s.CPU.Rounds)
	}
	return rounds
}

// medians says what bars and whiskers are.
func medians(rounds int) string {
	if rounds == 1 {
		return "A single round."
	}
	return fmt.Sprintf("Medians of %d rounds, whiskers: lowest and highest.", rounds)
}

func (c *Comparison) splitChart() report.Bars {
	var shares []shareOfCPU
	for _, s := range c.Summary {
		share := shareOfCPU{target: s.Target}
		for i := range c.Rounds {
			if r := c.Rounds[i].result(s.Target); r != nil {
				share.cpu = share.cpu.plus(r.CPU)
				share.each += float64(r.Deliveries)
			}
		}
		shares = append(shares, share)
	}
	return cpuChart("What CPU per delivery is spent on", c.load()+"; mean of all rounds.", shares...)
}

func (c *Comparison) latencyChart() report.Bars {
	b := report.Bars{
		Title: "Latency of delivery", Series: []string{"p50", "p99", "max"},
		Note: fmt.Sprintf("%s. %s", c.load(), medians(c.measured())),
	}
	for _, s := range c.Summary {
		row := report.Row{Label: s.Target, Total: "no round that counts"}
		for _, v := range []Spread{s.P50, s.P99, s.Max} {
			row.Values = append(row.Values, spreadRow("", "", v, nsText).Values...)
		}
		b.Rows = append(b.Rows, row)
	}
	return b
}

// Where is the machine that the comparison was made on.
func (c *Comparison) Where() Machine { return c.Machine }

// Charts are how many times as fast each target was.
func (r *LoopsResult) Charts() []report.Chart {
	if len(r.Summary) == 0 {
		return nil
	}
	first := r.Summary[0].Target
	b := report.Bars{Title: "Deliveries per second, divided by those of " + first, Line: 1}
	for i, s := range r.Summary {
		b.Note = fmt.Sprintf("%d clients, messages of %d bytes. %s More is better.", r.Clients, r.Size, medians(s.PerSecond.Rounds))
		row := spreadRow(s.Target, first, s.Speedup, shortRatio)
		if i > 0 {
			row.Rank = report.Own
		}
		b.Rows = append(b.Rows, row)
	}
	return []report.Chart{b}
}
