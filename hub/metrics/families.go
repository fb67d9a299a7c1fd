package metrics

import (
	"maps"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/histogram"
)

// family is one metric name: what it is, and how its samples are read from a snapshot.
type family struct {
	Definition
	desc    *prometheus.Desc
	collect func(s *hub.Stats, out chan<- prometheus.Metric)
}

// Definition is what a metric is, as docs/metrics.md has it.
type Definition struct {
	Name, Help, Type string
	Labels           []string
}

// sampler takes one sample with the values of the family's labels.
type sampler func(value float64, labels ...string)

type number interface {
	~int | ~int64 | ~uint64 | ~float64
}

// gauge is a figure of this moment.
func gauge[N number](name, help string, read func(*hub.Stats) N) family {
	return newFamily(name, help, prometheus.GaugeValue, nil, func(s *hub.Stats, sample sampler) {
		sample(float64(read(s)))
	})
}

// counter is a total since the start.
func counter(name, help string, read func(*hub.Stats) uint64) family {
	return newFamily(name, help, prometheus.CounterValue, nil, func(s *hub.Stats, sample sampler) {
		sample(float64(read(s)))
	})
}

// counters is a total per key of a map.
func counters(name, help, label string, read func(*hub.Stats) map[string]uint64) family {
	return newFamily(name, help, prometheus.CounterValue, []string{label}, sampleMap(read))
}

// gauges is a figure of this moment per key of a map.
func gauges[N number](name, help, label string, read func(*hub.Stats) map[string]N) family {
	return newFamily(name, help, prometheus.GaugeValue, []string{label}, sampleMap(read))
}

func sampleMap[N number](read func(*hub.Stats) map[string]N) func(*hub.Stats, sampler) {
	return func(s *hub.Stats, sample sampler) {
		values := read(s)
		for _, key := range slices.Sorted(maps.Keys(values)) {
			sample(float64(values[key]), key)
		}
	}
}

// perLoop is a figure of each event loop.
func perLoop[N number](name, help string, kind prometheus.ValueType, read func(*eventloop.LoopStats) N) family {
	return newFamily(name, help, kind, []string{"loop"}, func(s *hub.Stats, sample sampler) {
		for i := range s.Loops {
			sample(float64(read(&s.Loops[i])), strconv.Itoa(i))
		}
	})
}

// counterTable is a total per key of a map of maps.
func counterTable(name, help, outer, inner string, read func(*hub.Stats) map[string]map[string]uint64) family {
	return newFamily(name, help, prometheus.CounterValue, []string{outer, inner}, func(s *hub.Stats, sample sampler) {
		table := read(s)
		for _, row := range slices.Sorted(maps.Keys(table)) {
			for _, column := range slices.Sorted(maps.Keys(table[row])) {
				sample(float64(table[row][column]), row, column)
			}
		}
	})
}

// perLoopAnd is a figure of each event loop per key of a map.
func perLoopAnd(name, help, label string, kind prometheus.ValueType, read func(*eventloop.LoopStats) map[string]int) family {
	return newFamily(name, help, kind, []string{"loop", label}, func(s *hub.Stats, sample sampler) {
		for i := range s.Loops {
			values := read(&s.Loops[i])
			for _, key := range slices.Sorted(maps.Keys(values)) {
				sample(float64(values[key]), strconv.Itoa(i), key)
			}
		}
	})
}

// durations are how long something took.
func durations(name, help, of string) family {
	f := describe(name, help, "histogram", nil)
	f.collect = func(s *hub.Stats, out chan<- prometheus.Metric) { out <- f.histogram(s.Durations[of]) }
	return f
}

// durationsBy are how long something took, per key of a map.
func durationsBy(name, help, label string, read func(*hub.Stats) map[string]histogram.Snapshot) family {
	f := describe(name, help, "histogram", []string{label})
	f.collect = func(s *hub.Stats, out chan<- prometheus.Metric) {
		for key, took := range read(s) {
			out <- f.histogram(took, key)
		}
	}
	return f
}

func (f *family) histogram(took histogram.Snapshot, labels ...string) prometheus.Metric {
	count, upTo := took.Cumulative()
	return prometheus.MustNewConstHistogram(f.desc, count, took.Sum.Seconds(), upTo, labels...)
}

func describe(name, help, kind string, labels []string) family {
	return family{Definition: Definition{name, help, kind, labels}, desc: prometheus.NewDesc(name, help, labels, nil)}
}

func newFamily(name, help string, kind prometheus.ValueType, labels []string, read func(*hub.Stats, sampler)) family {
	typ := "gauge"
	if kind == prometheus.CounterValue {
		typ = "counter"
	}
	f := describe(name, help, typ, labels)
	f.collect = func(s *hub.Stats, out chan<- prometheus.Metric) {
		read(s, func(value float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(f.desc, kind, value, labels...)
		})
	}
	return f
}
