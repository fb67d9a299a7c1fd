package proof

import (
	"fmt"
	"slices"
)

// Trend is a figure over a soak, the warm-up left out.
type Trend struct {
	Name    string  `json:"name"`
	Least   float64 `json:"least"`
	Median  float64 `json:"median"`
	Most    float64 `json:"most"`
	PerHour float64 `json:"per_hour"` // slope of the line that fits best (least squares)
	// Grown is how far the median of the last third is above that of the first.
	Grown float64 `json:"grown"`
}

// warmed leaves out the first fifth, when tables and buffers grow to the size that the load asks for.
func warmed(all []Sample) []Sample { return all[len(all)/5:] }

func trends(r *SoakRun) (all []Trend) {
	samples := warmed(r.Samples)
	if len(samples) < 3 {
		return nil
	}
	for _, f := range figures {
		all = append(all, trendOf(f, samples))
	}
	return all
}

func trendOf(f figure, samples []Sample) Trend {
	values := make([]float64, len(samples))
	var x, y, xx, xy float64
	for i, s := range samples {
		values[i] = f.of(s)
		hours := s.Seconds / 3600
		x, y, xx, xy = x+hours, y+values[i], xx+hours*hours, xy+hours*values[i]
	}
	n := float64(len(samples))
	t := Trend{Name: f.name, Least: slices.Min(values), Most: slices.Max(values), Median: median(values)}
	if spread := n*xx - x*x; spread > 0 {
		t.PerHour = (n*xy - x*y) / spread
	}
	third := len(values) / 3
	t.Grown = median(values[len(values)-third:]) - median(values[:third])
	return t
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// growSeconds is how long a soak has to be for a trend to say anything: in less, one storm or
// one collection of garbage is the trend.
const growSeconds = 600

// growing names what has grown by a quarter from the first third to the last, under a load that
// was the same all along.
func growing(r *SoakRun) (names []string) {
	if len(r.Samples) == 0 || r.Samples[len(r.Samples)-1].Seconds < growSeconds {
		return nil
	}
	for i, t := range r.Trends {
		f := figures[i]
		if floor := map[bool]float64{true: 16 << 20, false: 24}[f.name == "resident"]; f.trend && t.Grown > max(floor, t.Median/4) {
			names = append(names, fmt.Sprintf("%s grows: by %s from the first third to the last, %s an hour", t.Name, f.text(t.Grown), f.text(t.PerHour)))
		}
	}
	return names
}
