package bench

import (
	"slices"
	"strings"
	"testing"
)

func TestSpread(t *testing.T) {
	tests := []struct {
		values []float64
		want   Spread
	}{
		{nil, Spread{}},
		{[]float64{4}, Spread{Median: 4, Min: 4, Max: 4, Rounds: 1}},
		{[]float64{9, 1, 2}, Spread{Median: 2, Min: 1, Max: 9, Rounds: 3}},
		{[]float64{9, 1, 2, 4}, Spread{Median: 3, Min: 1, Max: 9, Rounds: 4}},
		{[]float64{5, 1, 4, 2, 3}, Spread{Median: 3, Min: 1, Max: 5, Rounds: 5}},
	}
	for _, test := range tests {
		before := slices.Clone(test.values)
		if got := spreadOf(test.values); got != test.want || !slices.Equal(before, test.values) {
			t.Errorf("%v: %+v, want %+v", before, got, test.want)
		}
	}
}

// A ratio is of one round; what a round lacks doesn't shift the others.
func TestRatiosAreWithinARound(t *testing.T) {
	got := ratios([]float64{2, 9, 0, 8}, []float64{1, 3, 5, 0})
	if !slices.Equal(got, []float64{2, 3}) {
		t.Errorf("%v, want 2 and 3", got)
	}
	if got := ratios([]float64{1, 2}, nil); len(got) != 0 {
		t.Errorf("without a base: %v", got)
	}
}

func TestBaseOfAComparison(t *testing.T) {
	all := []Target{{Name: "busbar"}, {Name: "raw"}, {Name: "raw-batch"}}
	tests := []struct {
		name    string
		window  int
		rate    float64
		targets []Target
		want    string
	}{
		{"one at a time", 1, 0, all, "raw"},
		{"window", 64, 0, all, "raw-batch"},
		{"rate", 64, 100, all, "raw"},
		{"no base", 64, 0, all[:2], ""},
	}
	for _, test := range tests {
		o := CompareOptions{Targets: test.targets}
		o.Window, o.Rate = test.window, test.rate
		if got := o.base(); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// A server that costs less itself and leaves more to others is seen in the machine's CPU.
func TestComparisonCountsTheServerAndTheMachine(t *testing.T) {
	c := Comparison{Base: "a", Rounds: []Round{{Results: []*FanoutResult{
		{Target: "a", Deliveries: 1000, PerDelivery: 6000, CPU: CPU{Machine: 10_000_000}},
		{Target: "b", Deliveries: 2000, PerDelivery: 3000, CPU: CPU{Machine: 30_000_000}},
	}}}}
	c.summarise([]Target{{Name: "a"}, {Name: "b"}})
	if a := c.Summary[0]; a.Ratio.Median != 1 || a.Machine.Median != 10_000 || a.MachineTo.Median != 1 {
		t.Errorf("the base: %+v", a)
	}
	if b := c.Summary[1]; b.Ratio.Median != 0.5 || b.Machine.Median != 15_000 || b.MachineTo.Median != 1.5 {
		t.Errorf("the other: %+v", b)
	}
	var table strings.Builder
	if err := c.WriteTable(&table); err != nil || !strings.Contains(table.String(), "15µs") {
		t.Errorf("%v:\n%s", err, table.String())
	}
}
