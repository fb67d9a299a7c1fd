package bench

import (
	"context"
	"errors"
	"fmt"
)

// FanoutResult is what a run has shown. Rates and times are of the measured phase alone.
type FanoutResult struct {
	Target      string  `json:"target"`
	Clients     int     `json:"clients"`
	Size        int     `json:"size"`
	Window      int     `json:"window,omitempty"`
	Rate        float64 `json:"rate,omitempty"` // asked for, messages a second
	Workers     int     `json:"workers"`
	Cores       Cores   `json:"cores"`
	Namespace   bool    `json:"namespace,omitempty"` // through a veth pair
	Interrupted bool    `json:"interrupted,omitempty"`

	Messages   uint64  `json:"messages"`
	Deliveries uint64  `json:"deliveries"` // that were recorded
	Seconds    float64 `json:"seconds"`
	CPU        CPU     `json:"cpu"`
	// PerDelivery is CPU.Server divided by deliveries, in ns.
	PerDelivery float64 `json:"cpu_per_delivery_ns"`
	// Sends is write system calls per delivery; -1 when the server can't count them.
	Sends   float64 `json:"sends_per_delivery"`
	Latency Latency `json:"latency"`
	Late    Latency `json:"publisher_late,omitzero"` // of runs at a rate: part of Latency that is the bench's own
	Memory  Memory  `json:"memory"`                  // at the end

	Report Report `json:"report"`           // of the whole run, warm-up included
	Failed string `json:"failed,omitempty"` // why the run doesn't count
}

func (r *FanoutResult) cost(before, after moment) {
	r.Seconds = float64(after.at-before.at) / 1e9
	r.CPU = after.cpu.minus(before.cpu)
	r.Sends = float64(after.stats.Sends - before.stats.Sends) // per delivery below
	if after.stats.Sends < 0 {
		r.Sends = -1
	}
}

func (r *FanoutResult) judge(trouble error) {
	r.Interrupted = errors.Is(trouble, context.Canceled)
	expected := r.Messages * uint64(r.Clients)
	switch {
	case r.Report.Any():
		r.Failed = fmt.Sprintf("of %d clients: %s", r.Clients, r.Report.Faults)
		if r.Report.Error != "" {
			r.Failed += "; " + r.Report.Error
		}
	case r.Interrupted:
	case trouble != nil:
		r.Failed = trouble.Error()
	case r.Deliveries != expected:
		r.Failed = fmt.Sprintf("%d deliveries were recorded where %d were due", r.Deliveries, expected)
	}
}
