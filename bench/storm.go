package bench

import (
	"context"
	"fmt"
)

// StormResult is what it costs a server that many clients connect at once.
type StormResult struct {
	Target    string  `json:"target"`
	Clients   int     `json:"clients"`
	Workers   int     `json:"workers"`
	Cores     Cores   `json:"cores"`
	Pace      int     `json:"pace"` // connections under way at once, of each worker
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"connects_per_second"`
	CPU       CPU     `json:"cpu"`
	// PerHandshake is CPU.Server divided by connections, in ns: accepting, the upgrade and
	// what the server does to remember a client.
	PerHandshake float64 `json:"cpu_per_handshake_ns"`
	// Latency is from connect to the whole answer of the upgrade.
	Latency Latency `json:"latency"`

	Report Report `json:"report"`
	Failed string `json:"failed,omitempty"`
}

// Storm connects all clients as fast as the pace allows.
func Storm(ctx context.Context, o Options) (*StormResult, error) {
	o.defaults()
	s, err := startSession(ctx, o)
	if err != nil {
		return nil, err
	}
	r, err := s.storm(ctx)
	if closing := s.close(); closing != nil && err == nil && r.Failed == "" {
		r.Failed = closing.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("storm, %s: %w%s", o.Target.Name, err, s.server.errors.suffix())
	}
	r.Failed = s.explained(r.Failed)
	return r, nil
}

func (s *session) storm(ctx context.Context) (*StormResult, error) {
	before, err := s.measure(0)
	if err != nil {
		return nil, err
	}
	if err = s.connectAll(ctx); err != nil {
		return nil, err
	}
	after, err := s.measure(0)
	if err != nil {
		return nil, err
	}
	report, _, upgrades, err := s.load.Finish(ctx, 0)
	if err != nil {
		return nil, err
	}
	report.Latency, report.Upgrades = nil, nil
	cpu := after.cpu.minus(before.cpu)
	n := float64(s.opts.Load.Clients)
	r := &StormResult{
		Target: s.opts.Target.Name, Clients: s.opts.Load.Clients, Workers: s.load.Workers(),
		Cores: Cores{Server: s.opts.Server, Load: s.opts.Load.Cores}, Pace: s.load.opts.Pace,
		Seconds: s.connect.Seconds(), PerSecond: n / s.connect.Seconds(),
		CPU: cpu, PerHandshake: float64(cpu.Server()) / n, Latency: latencyOf(upgrades), Report: report,
	}
	if report.Any() {
		r.Failed = fmt.Sprintf("of %d clients: %s; %s", r.Clients, report.Faults, report.Error)
	}
	return r, nil
}
