package bench

// Figure is one figure over all rounds that count; without any, of the one interrupted.
type Figure struct {
	Name    string `json:"name"`
	Without Spread `json:"without"` // no rounds: it wasn't measured, or has no meaning there
	With    Spread `json:"with"`
	Ratio   Spread `json:"ratio"` // with divided by without, in the same round
}

// disturbFigure is how a figure is taken from a round and shown.
type disturbFigure struct {
	name, title string
	of          func(*DisturbRun) (float64, bool) // of a run that counts, or of the interrupted one
	text        func(float64) string
	ratio       bool
	rounds      func(*DisturbRound) (float64, bool) // in place of of: of a whole round
}

func always(f func(*DisturbRun) float64) func(*DisturbRun) (float64, bool) {
	return func(r *DisturbRun) (float64, bool) { return f(r), true }
}

func ofArrivals(f func(*Latency) int64) func(*DisturbRun) (float64, bool) {
	return func(r *DisturbRun) (float64, bool) { return float64(f(&r.Upgrades)), r.Upgrades.Count > 0 }
}

// aboveNoise is span for a difference of two runs. One below nothing says that the machine
// changed by more than what was to be measured.
func aboveNoise(ns float64) string {
	if ns <= 0 {
		return "–"
	}
	return span(ns)
}

var disturbFigures = []disturbFigure{
	{name: "cpu_per_delivery_ns", title: "CPU per delivery", text: span[float64], ratio: true,
		of: always(func(r *DisturbRun) float64 { return r.PerDelivery })},
	{name: "p50_ns", title: "delivery p50", text: span[float64], ratio: true,
		of: always(func(r *DisturbRun) float64 { return float64(r.Latency.P50) })},
	{name: "p99_ns", title: "delivery p99", text: span[float64], ratio: true,
		of: always(func(r *DisturbRun) float64 { return float64(r.Latency.P99) })},
	{name: "p999_ns", title: "delivery p99.9", text: span[float64], ratio: true,
		of: always(func(r *DisturbRun) float64 { return float64(r.Latency.P999) })},
	{name: "deliveries_per_second", title: "deliveries a second", text: whole, ratio: true,
		of: always(func(r *DisturbRun) float64 { return float64(r.Report.Measured) / max(r.Seconds, 1e-9) })},
	{name: "sends_per_delivery", title: "sends per delivery", text: sends, ratio: true,
		of: func(r *DisturbRun) (float64, bool) { return r.Sends, r.Sends >= 0 }},
	{name: "memory_growth", title: "resident growth", text: size,
		of: always(func(r *DisturbRun) float64 { return float64(r.Growth) })},
	{name: "memory_peak", title: "resident peak", text: size, ratio: true,
		of: always(func(r *DisturbRun) float64 { return float64(r.Peak) })},
	{name: "cpu_per_arrival_ns", title: "CPU per arrival", text: aboveNoise, rounds: (*DisturbRound).PerArrival},
	{name: "upgrades_per_second", title: "upgrades a second", text: whole,
		of: func(r *DisturbRun) (float64, bool) { return r.Came, r.Came > 0 }},
	{name: "upgrade_p50_ns", title: "upgrade p50", text: span[float64], of: ofArrivals(func(l *Latency) int64 { return l.P50 })},
	{name: "upgrade_p99_ns", title: "upgrade p99", text: span[float64], of: ofArrivals(func(l *Latency) int64 { return l.P99 })},
}

// figure takes a figure of all rounds. Rounds that lack one of the two runs have no ratio.
// What an interrupted run has is taken when there is nothing else, and never for a ratio.
func (r *DisturbResult) figure(f disturbFigure) Figure {
	var without, with, ratio []float64
	for i := range r.Rounds {
		round := &r.Rounds[i]
		if f.rounds != nil {
			if v, ok := f.rounds(round); ok {
				with = append(with, v)
			}
			continue
		}
		a, hasA := f.ofRun(round.Without)
		b, hasB := f.ofRun(round.With)
		if hasA {
			without = append(without, a)
		}
		if hasB {
			with = append(with, b)
		}
		if f.ratio && hasA && hasB {
			ratio = append(ratio, ratios([]float64{b}, []float64{a})...)
		}
	}
	if last := r.Rounds[len(r.Rounds)-1]; f.rounds == nil {
		without = orWhatThereIs(without, f, last.Without)
		with = orWhatThereIs(with, f, last.With)
	}
	return Figure{Name: f.name, Without: spreadOf(without), With: spreadOf(with), Ratio: spreadOf(ratio)}
}

// orWhatThereIs is the values of the runs that count, or that of one that was interrupted.
func orWhatThereIs(values []float64, f disturbFigure, r *DisturbRun) []float64 {
	if len(values) == 0 && r.cutShort() {
		if v, ok := f.of(r); ok {
			return []float64{v}
		}
	}
	return values
}

func (f *disturbFigure) ofRun(r *DisturbRun) (float64, bool) {
	if !r.counts() {
		return 0, false
	}
	return f.of(r)
}

// summarise takes all figures that a round has.
func (r *DisturbResult) summarise() {
	r.Summary = nil
	if len(r.Rounds) == 0 {
		return
	}
	for _, f := range disturbFigures {
		if s := r.figure(f); s.With.Rounds+s.Without.Rounds > 0 {
			r.Summary = append(r.Summary, s)
		}
	}
}

// totals adds up what the disturbed runs' clients saw, those that don't count included.
func (r *DisturbResult) totals() (total Report) {
	for _, round := range r.Rounds {
		if round.With != nil {
			total.add(round.With.Report)
		}
	}
	return total
}
