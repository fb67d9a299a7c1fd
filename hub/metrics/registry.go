// Package metrics shows a hub's counters to Prometheus.
package metrics

import (
	"runtime"
	"slices"

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

// What others count beside the hub.
var (
	HTTPRequests = define("busbar_http_requests_total", "counter", "HTTP requests answered by the API, by route and class of status.", "route", "class")
	HTTPPanics   = define("busbar_http_panics_total", "counter", "API handlers that panicked.")
	HTTPBusy     = define("busbar_http_busy_total", "counter", "API requests answered 503 because too many were being served.")
	HTTPEvicted  = define("busbar_http_connections_evicted_total", "counter",
		"Connections to the API, with no request being served, that made room for new ones.")

	logRecordsDropped = define("busbar_log_records_dropped_total", "counter", "Log records that nobody took in time, or that couldn't be written.")
	buildInfo         = define("busbar_build_info", "gauge", "1, with the version and what it was built with.", "version", "goversion")
)

var defined []Definition

func define(name, kind, help string, labels ...string) Definition {
	d := Definition{name, help, kind, labels}
	defined = append(defined, d)
	return d
}

// All is what there is but for the Go runtime's and the process's own, in the order of docs/metrics.md.
func All() (all []Definition) {
	for _, f := range families {
		all = append(all, f.Definition)
	}
	return slices.Concat(all, defined)
}

// Counter is what Prometheus' client wants to know of a counter.
func (d Definition) Counter() prometheus.CounterOpts {
	return prometheus.CounterOpts{Name: d.Name, Help: d.Help}
}

// LogRecordsDropped is the daemon's own counter beside the hub's.
func LogRecordsDropped(dropped func() uint64) prometheus.Collector {
	return prometheus.NewCounterFunc(logRecordsDropped.Counter(), func() float64 { return float64(dropped()) })
}

// BuildInfo says which version runs.
func BuildInfo(version string) prometheus.Collector {
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: buildInfo.Name, Help: buildInfo.Help}, buildInfo.Labels)
	info.WithLabelValues(version, runtime.Version()).Set(1)
	return info
}
