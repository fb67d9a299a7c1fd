package bench

import (
	"slices"
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
