package bench

// Report is what the clients saw, of one worker or of all together.
type Report struct {
	Faults
	Deliveries uint64 `json:"deliveries"` // binary messages that came, each once
	Texts      uint64 `json:"texts"`      // text messages, which are none of ours
	Pings      uint64 `json:"pings"`      // of the server, all answered
	// Measured is deliveries of the measured phase, to all but those that had stopped
	// reading.
	Measured uint64         `json:"measured,omitempty"`
	Closes   map[int]uint64 `json:"closes,omitempty"` // Close frames by code
	Error    string         `json:"error,omitempty"`  // what ended the first connection that ended

	Stalled Stalled  `json:"stalled,omitzero"` // who stopped reading
	Churn   Turnover `json:"churn,omitzero"`   // who came and left

	Latency  []byte `json:"latency,omitempty"`  // encoded histogram of the recorded deliveries, in ns
	Upgrades []byte `json:"upgrades,omitempty"` // the same of connecting, upgrade included

	Relays *RelayReport `json:"relays,omitempty"` // of the scenario presence
}

func (r *Report) add(o Report) {
	r.Faults.add(o.Faults)
	r.Deliveries += o.Deliveries
	r.Measured += o.Measured
	r.Stalled.add(o.Stalled)
	r.Churn.add(o.Churn)
	r.Texts += o.Texts
	r.Pings += o.Pings
	for code, n := range o.Closes {
		if r.Closes == nil {
			r.Closes = map[int]uint64{}
		}
		r.Closes[code] += n
	}
	r.Relays = r.Relays.add(o.Relays)
	if r.Error == "" {
		r.Error = o.Error
	}
}
