package bench

// RelayReport is what the clients of one worker, or all together, sent to each other.
type RelayReport struct {
	Sent         uint64 `json:"sent"`          // messages of clients to all
	Stayed       uint64 `json:"stayed"`        // clients that are connected
	Leaves       uint64 `json:"leaves"`        // messages about others that had left, of all clients that stayed
	LeaveBytes   uint64 `json:"leave_bytes"`   // their payloads, of all clients
	FewestLeaves uint64 `json:"fewest_leaves"` // of one client
	MostLeaves   uint64 `json:"most_leaves"`   // of one client
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
