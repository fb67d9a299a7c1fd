package metrics

import (
	"maps"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
)

// family is one metric name: what it is, and how its samples are read from a snapshot.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(s *hub.Stats, sample sampler)
}

// sampler takes one sample with the values of the family's labels.
type sampler func(value float64, labels ...string)

type number interface {
	~int | ~int64 | ~uint64
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

func newFamily(name, help string, kind prometheus.ValueType, labels []string, read func(*hub.Stats, sampler)) family {
	return family{prometheus.NewDesc(name, help, labels, nil), kind, read}
}
