package bench

import "fmt"

// PresenceResult is what a run of the scenario presence has shown.
type PresenceResult struct {
	Target      string  `json:"target"`
	Clients     int     `json:"clients"`
	Senders     int     `json:"senders"`
	Size        int     `json:"size"`
	Rate        float64 `json:"rate"` // asked for, messages a second of all senders
	Workers     int     `json:"workers"`
	Cores       Cores   `json:"cores"`
	Interrupted bool    `json:"interrupted,omitempty"`

	Sent       uint64            `json:"sent"`       // by clients
	Relayed    uint64            `json:"relayed"`    // of these, passed on, as the server counts
	Limited    uint64            `json:"limited"`    // of these, above what one client may send
	Deliveries uint64            `json:"deliveries"` // messages that clients had of others
	Missing    uint64            `json:"missing"`    // deliveries of relayed messages that didn't come
	Dropped    map[string]uint64 `json:"dropped"`    // messages, by cause, as the server counts
	Seconds    float64           `json:"seconds"`    // until the last delivery
	CPU        CPU               `json:"cpu"`
	// PerDelivery is CPU.Server divided by deliveries, in ns: reading what senders send is in it.
	PerDelivery float64 `json:"cpu_per_delivery_ns"`
	Sends       float64 `json:"sends_per_delivery"`
	Latency     Latency `json:"latency"`     // from when a message was due
	Late        Latency `json:"sender_late"` // part of Latency that is the bench's own

	Leave  *Leaves `json:"leave,omitempty"`
	Report Report  `json:"report"` // of the whole run
	Failed string  `json:"failed,omitempty"`
}

// Leaves is what it took to tell those who stayed of those who left.
type Leaves struct {
	Clients  int     `json:"clients"` // that left
	Fewest   uint64  `json:"fewest_messages"`
	Most     uint64  `json:"most_messages"` // to one client
	Messages uint64  `json:"messages"`      // to all who stayed
	Bytes    uint64  `json:"bytes"`         // of these, payloads
	CPU      CPU     `json:"cpu"`           // from the first leave on
	PerLeave float64 `json:"cpu_per_leave_ns"`
}

func (r *PresenceResult) cost(before, after moment) {
	r.CPU = after.cpu.minus(before.cpu)
	r.Relayed = after.stats.Relayed - before.stats.Relayed
	r.Limited = after.stats.Limited - before.stats.Limited
	r.Sends = float64(after.stats.Sends - before.stats.Sends) // per delivery below
	r.Dropped = map[string]uint64{}
	for cause, n := range after.stats.Dropped {
		r.Dropped[cause] = n - before.stats.Dropped[cause]
	}
}

func (r *PresenceResult) drops() (n uint64) {
	for _, dropped := range r.Dropped {
		n += dropped
	}
	return n
}

// judge completes the figures and says whether the run counts. Presence may be lost, but
// not without the server counting that.
func (r *PresenceResult) judge(trouble error) {
	due := r.Relayed * uint64(r.Clients)
	r.Missing = max(due, r.Deliveries) - r.Deliveries
	if r.Deliveries > 0 {
		r.PerDelivery = float64(r.CPU.Server()) / float64(r.Deliveries)
		r.Sends /= float64(r.Deliveries)
	}
	switch {
	case r.Report.Any():
		r.Failed = fmt.Sprintf("of %d clients: %s; %s", r.Clients, r.Report.Faults, r.Report.Error)
	case trouble != nil:
		r.Failed = trouble.Error()
	case r.Deliveries > due:
		r.Failed = fmt.Sprintf("%d deliveries where %d were due", r.Deliveries, due)
	case r.Missing > 0 && r.drops() == 0:
		r.Failed = fmt.Sprintf("%d of %d deliveries are missing, and the server counts none as dropped", r.Missing, due)
	}
}

func (r *PresenceResult) leaves(before, after moment, report Report, left int) {
	l := report.Relays
	cpu := after.cpu.minus(before.cpu)
	r.Leave = &Leaves{
		Clients: left, Fewest: l.FewestLeaves, Most: l.MostLeaves, Messages: l.Leaves, Bytes: l.LeaveBytes,
		CPU: cpu, PerLeave: float64(cpu.Server()) / float64(left),
	}
	switch {
	case report.Any():
		r.Failed = fmt.Sprintf("leaving: of %d clients: %s; %s", r.Clients, report.Faults, report.Error)
	case l.FewestLeaves == 0 && !r.Interrupted:
		r.Failed = "leaving: a client that stayed was told of nobody"
	}
}
