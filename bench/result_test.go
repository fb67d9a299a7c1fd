package bench

import (
	"errors"
	"slices"
	"testing"

	"github.com/busbar-ws/busbar/bench/runner"
)

func TestSpread(t *testing.T) {
	for _, test := range []struct{ values, want []float64 }{
		{nil, []float64{0, 0, 0}}, {[]float64{4}, []float64{4, 4, 4}}, {[]float64{9, 1, 2}, []float64{2, 1, 9}},
		{[]float64{9, 1, 2, 4}, []float64{3, 1, 9}}, {[]float64{5, 1, 4, 2, 3}, []float64{3, 1, 5}},
	} {
		if s := spreadOf(test.values); !slices.Equal([]float64{s.Median, s.Low, s.High}, test.want) || !slices.Equal(s.Values, test.values) {
			t.Errorf("%v: %+v, want %v", test.values, s, test.want)
		}
	}
}

// A ratio is of one round; what a round lacks doesn't shift the others, and rounds that don't count
// give no figure.
func TestRoundsBecomeOneResult(t *testing.T) {
	one := func(v float64) *Result { r := &Result{Name: "x"}; r.add("cost", Nanoseconds, v); return r }
	failed, interrupted := one(5), one(7)
	failed.fail("lost")
	interrupted.Interrupted = true
	base := []*Result{one(1), one(3), one(5), failed}
	r := join([]*Result{one(2), one(9), failed, one(8)}, base)
	f := r.Figure("cost")
	if r.Rounds != 3 || len(r.Failures) != 1 || f.Median != 8 || f.Ratio == nil || !slices.Equal(f.Ratio.Values, []float64{2, 3}) {
		t.Errorf("%+v, ratio %+v", r, f.Ratio)
	}
	if r := join([]*Result{nil, interrupted}, nil); r.Rounds != 0 || !r.Interrupted || r.Figure("cost").Median != 7 {
		t.Errorf("what there is of an interrupted round: %+v", r)
	}
	if r := join([]*Result{failed, nil}, nil); len(r.Figures) != 0 {
		t.Errorf("figures of a round that failed: %+v", r)
	}
}

func TestNumbersForPeople(t *testing.T) {
	for want, got := range map[string]string{
		"1,234,567": thousands(1234567), "-1,000": thousands(-1000), "999": thousands(999),
		"0.016": digits(0.0156), "0.96": digits(0.96), "48.8": digits(48.81), "109": digits(109.2),
		"1.00 µs": span(999.9), "950 ns": span(950), "13.1 ms": span(13.1e6), "2.00 s": span(2e9),
		"826 B": size(826), "9,999 B": size(9999), "26.6 KiB": size(26.6 * 1024), "18.9 MiB": size(18.9 * (1 << 20)),
		"CPU per delivery": title("cpu_per_delivery"), "machine CPU per delivery": title("machine_cpu_per_delivery"),
		"delivery p99.9": title("delivery_p999"), "connects/s": title("connects_per_second"),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestBaseOfAComparison(t *testing.T) {
	all := []runner.Target{{Name: "busbar"}, {Name: "raw"}, {Name: "raw-batch"}}
	for _, test := range []struct {
		window  int
		rate    float64
		targets []runner.Target
		want    string
	}{{1, 0, all, "raw"}, {64, 0, all, "raw-batch"}, {64, 100, all, "raw"}, {64, 0, all[:2], ""}} {
		p := Profile{Window: test.window, Rate: test.rate}
		if got := p.Base(test.targets); got != test.want {
			t.Errorf("%+v: %q", test, got)
		}
	}
}

const begin, end = BeginMarker, EndMarker

func TestMarkersAreReplacedTheSameHoweverOften(t *testing.T) {
	for _, old := range []string{begin + end, begin + "\n" + end, begin + "\nold\n\n" + end} {
		once, err := Between("# Title\n\n"+old+"\n\nThe rest.\n", "new\nlines\n")
		if err != nil {
			t.Fatal(err)
		}
		if want := "# Title\n\n" + begin + "\n\nnew\nlines\n\n" + end + "\n\nThe rest.\n"; once != want {
			t.Errorf("of %q:\n%s", old, once)
		}
		if twice, err := Between(once, "new\nlines\n"); err != nil || twice != once {
			t.Errorf("the second time: %v\n%s", err, twice)
		}
	}
}

func TestTextsWithoutMarkers(t *testing.T) {
	for _, text := range []string{"", "nothing", begin, end, end + begin, begin + begin + end, begin + end + end} {
		if got, err := Between(text, "new"); !errors.Is(err, ErrMarkers) || got != "" {
			t.Errorf("of %q: %q, error %v", text, got, err)
		}
	}
}
