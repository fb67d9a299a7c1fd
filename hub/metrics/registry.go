// Package metrics shows a hub's counters to Prometheus.
package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/busbar-ws/busbar/hub"
)

// NewRegistry returns a registry of its own (not Prometheus's global one, which an embedding
// program may use) with the hub's numbers, the Go runtime's and the process's. stats is
// called once per scrape, from the scraper's goroutine; it is usually the hub's Stats.
func NewRegistry(stats func() hub.Stats) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	// Registering on a new registry fails for names that collide, and the test would show it.
	reg.MustRegister(
		NewCollector(stats),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return reg
}

// LogRecordsDropped is the daemon's own counter beside the hub's.
func LogRecordsDropped(dropped func() uint64) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "busbar_log_records_dropped_total",
		Help: "Log records that nobody took in time, or that couldn't be written.",
	}, func() float64 { return float64(dropped()) })
}
