package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/busbar-ws/busbar/hub"
)

// Collector reads the hub's counters once per scrape, so all figures of one scrape
// belong together. It is safe from any goroutine, as far as its stats function is.
type Collector struct {
	stats func() hub.Stats
}

// NewCollector returns a collector over stats, which is called once per scrape.
func NewCollector(stats func() hub.Stats) *Collector { return &Collector{stats} }

// Describe is prometheus.Collector's.
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	for _, f := range families {
		out <- f.desc
	}
}

// Collect is prometheus.Collector's.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	s := c.stats()
	for _, f := range families {
		f.collect(&s, out)
	}
}
