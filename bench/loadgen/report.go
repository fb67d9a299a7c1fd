package loadgen

// Report is what the clients saw, of one worker or of all.
type Report struct {
	Faults
	Deliveries uint64 // binary messages that came, each once
	Texts      uint64 // text messages, which are none of ours
	// Measured is deliveries of the measured phase, to all but those that had stopped
	// reading.
	Measured uint64
	Error    string // what ended the first connection that ended

	Stalled Stalled  // who stopped reading
	Churn   Turnover // who came and left

	Relays *RelayReport // of the scenario presence
}

func (r *Report) add(o Report) {
	r.Faults.Add(o.Faults)
	r.Deliveries += o.Deliveries
	r.Measured += o.Measured
	r.Stalled.add(o.Stalled)
	r.Churn.add(o.Churn)
	r.Texts += o.Texts
	r.Relays = r.Relays.add(o.Relays)
	if r.Error == "" {
		r.Error = o.Error
	}
}

// RelayReport is what the clients of one worker, or all together, sent to each other.
type RelayReport struct {
	Sent         uint64 // messages of clients to all
	Stayed       uint64 // clients that are connected
	Leaves       uint64 // messages about others that had left, of all clients that stayed
	LeaveBytes   uint64 // their payloads, of all clients
	FewestLeaves uint64 // of one client
	MostLeaves   uint64 // of one client
}

func (r *RelayReport) add(o *RelayReport) *RelayReport {
	if r == nil || o == nil {
		if r == nil {
			r = o
		}
		return r
	}
	return &RelayReport{
		Sent: r.Sent + o.Sent, Stayed: r.Stayed + o.Stayed, Leaves: r.Leaves + o.Leaves, LeaveBytes: r.LeaveBytes + o.LeaveBytes,
		FewestLeaves: min(r.FewestLeaves, o.FewestLeaves), MostLeaves: max(r.MostLeaves, o.MostLeaves),
	}
}
