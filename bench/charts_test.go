package bench

import (
	"slices"
	"strings"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/busbar-ws/busbar/bench/report"
)

func TestTimesInCharts(t *testing.T) {
	for ns, want := range map[float64]string{
		0: "0 ns", 7: "7 ns", 100: "100 ns", 999.6: "1 µs", 1500: "1.5 µs", 12345: "12.3 µs", 2_350_000: "2.35 ms", 123_456_789: "123 ms", 9.999e9: "10 s",
	} {
		if got := nsText(ns); got != want {
			t.Errorf("%v ns: %q, want %q", ns, got, want)
		}
	}
	for v, want := range map[float64]string{0.994: "0.99", 1: "1.00", 9.996: "10.0", 36: "36.0", 48.84: "48.8", 143.2: "143", 1434: "1434"} {
		if got := shortRatio(v); got != want {
			t.Errorf("ratio %v: %q, want %q", v, got, want)
		}
	}
}

func TestCurveEndsWithTheHighestValue(t *testing.T) {
	h := newHistogram()
	for _, n := range []int{1, 10, 1000} {
		for int(h.TotalCount()) < n {
			record(h, 1000*(h.TotalCount()+1))
		}
		curve := latencyOf(h).Curve
		last := curve[len(curve)-1]
		if last.Percent != 100 || last.NS != h.Max() {
			t.Errorf("%d values: it ends with %v; the highest is %d", n, last, h.Max())
		}
		if !slices.IsSortedFunc(curve, func(a, b Quantile) int { return int(a.NS - b.NS) }) {
			t.Errorf("%d values: %v", n, curve)
		}
		if before := curve[len(curve)-2].Percent; (1-before/100)*float64(n) < 1 {
			t.Errorf("%d values: no value lies above the percentile %v", n, before)
		}
	}
	if l := latencyOf(hdrhistogram.New(1, 10, 1)); l.Curve != nil {
		t.Errorf("of nothing: %v", l.Curve)
	}
}

// texts are a row's label and what stands at its bars.
func texts(b report.Bars) []string {
	var all []string
	for _, row := range b.Rows {
		line := row.Label
		for _, v := range row.Values {
			line += " | " + strings.TrimSpace(v.Text+" "+v.Detail)
		}
		if len(row.Values) == 0 || b.Stacked {
			line += " | " + row.Total
		}
		all = append(all, line)
	}
	return all
}

func expect(t *testing.T, b report.Bars, want ...string) {
	t.Helper()
	if got := texts(b); !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", b.Title, got, want)
	}
}

// made is a comparison whose figures are known.
func made() *Comparison {
	c := &Comparison{Base: "raw"}
	for _, costs := range [][3]float64{{2000, 1000, 9000}, {3000, 1000, 0}} {
		r := Round{Errors: map[string]string{}}
		for i, name := range []string{"gws", "raw", "busbar"} {
			if costs[i] == 0 {
				r.Errors[name] = "it ended"
				continue
			}
			f := &FanoutResult{Target: name, Clients: 10, Size: 128, Window: 1, Deliveries: 10, Seconds: 1, PerDelivery: costs[i]}
			f.CPU = CPU{Process: int64(costs[i]) * 8, Ksoftirqd: int64(costs[i]) * 2, User: 10, System: 30}
			f.Latency = Latency{P50: int64(costs[i]) * 2, P99: int64(costs[i]) * 10, Max: int64(costs[i]) * 1000}
			r.Results = append(r.Results, f)
		}
		c.Rounds = append(c.Rounds, r)
	}
	c.summarise([]Target{{Name: "gws"}, {Name: "raw"}, {Name: "busbar"}, {Name: "absent"}})
	return c
}

func TestChartsOfAComparisonSayItsFigures(t *testing.T) {
	c := made()
	expect(t, c.costChart(), "raw | 1.00", "gws | 2.50 2.00 – 3.00", "busbar | 9.00", "absent | no round that counts")
	expect(t, c.latencyChart(), "gws | 5 µs 4 µs – 6 µs | 25 µs 20 µs – 30 µs | 2.5 ms 2 ms – 3 ms", "raw | 2 µs | 10 µs | 1 ms",
		"busbar | 18 µs | 90 µs | 9 ms", "absent | no round that counts")
	expect(t, c.splitChart(), "gws | 500 ns | 1.5 µs | 500 ns | 2.5 µs", "raw | 200 ns | 600 ns | 200 ns | 1 µs",
		"busbar | 1.8 µs | 5.4 µs | 1.8 µs | 9 µs", "absent | too short to tell")
	ranks := []report.Rank{report.Baseline, report.Other, report.Own, report.Other}
	for i, row := range c.costChart().Rows {
		if row.Rank != ranks[i] {
			t.Errorf("%s stands out as %q, want %q", row.Label, row.Rank, ranks[i])
		}
	}
	c.Base = ""
	expect(t, c.costChart(), "raw | 1 µs", "gws | 2.5 µs 2 µs – 3 µs", "busbar | 9 µs", "absent | no round that counts")
}

func TestChartsOfSingleRuns(t *testing.T) {
	fanout := &FanoutResult{Target: "busbar", Deliveries: 4, Rate: 5, CPU: CPU{Process: 40, User: 1, System: 1}}
	charts := fanout.Charts()
	if curves := charts[0].(report.Curves); len(curves.Lines) != 2 {
		t.Errorf("at a rate there are %d curves; how late the publisher was is one", len(curves.Lines))
	}
	expect(t, charts[1].(report.Bars), "busbar | 5 ns | 5 ns | 0 ns | 10 ns")
	if charts := new(FanoutResult).Charts(); charts != nil {
		t.Errorf("without deliveries: %v", charts)
	}
	idle := &IdleResult{Target: "busbar", User: 600, UserSent: 700, Sent: Memory{Source: "status"}, Slab: -5, Buffers: 20480}
	expect(t, idle.Charts()[0].(report.Bars), "user | 600 B", "user, after a broadcast | 700 B", "kernel, slab | –", "kernel, buffers | 20.0 KiB")
	storm := &StormResult{Target: "raw", Clients: 2, CPU: CPU{Process: 8, System: 1, Ksoftirqd: 2}}
	expect(t, storm.Charts()[1].(report.Bars), "raw | 0 ns | 4 ns | 1 ns | 5 ns")
}
