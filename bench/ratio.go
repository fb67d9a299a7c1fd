package bench

import "slices"

// Spread sums up what several rounds gave.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Rounds int     `json:"rounds"` // that counted
}

// spreadOf is the zero Spread when there are no values.
func spreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (sorted[middle-1] + sorted[middle]) / 2
	}
	return Spread{Median: median, Min: sorted[0], Max: sorted[len(sorted)-1], Rounds: len(sorted)}
}

// ratios divides values by those of the base in the same round; rounds that lack one of
// them are left out. A value of 0 is one that a round lacks.
func ratios(values, base []float64) []float64 {
	var r []float64
	for i := range min(len(values), len(base)) {
		if values[i] > 0 && base[i] > 0 {
			r = append(r, values[i]/base[i])
		}
	}
	return r
}
