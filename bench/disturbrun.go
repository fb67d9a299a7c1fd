package bench

import (
	"context"
	"errors"
	"fmt"
)

// DisturbRun is what one run has shown. In what it embeds, Deliveries and Latency are of
// clients that stay and read; CPU and Sends are per delivery to all but stalled clients,
// which is Report.Measured.
type DisturbRun struct {
	FanoutResult
	Sizes   string  `json:"sizes"`
	Stalled float64 `json:"stalled"` // asked for, share of clients
	Churn   float64 `json:"churn"`   // asked for, clients a second
	Storm   int     `json:"storm"`   // clients that come at once and leave when they are connected
	Came    float64 `json:"storm_per_second"`
	Stay    int     `json:"stay"`   // clients that stay and read
	AtEnd   int     `json:"at_end"` // clients that the server counted at the end; 0: it wasn't asked

	Before   Memory  `json:"memory_before"` // all connected, before the first message
	Growth   int64   `json:"memory_growth"` // Memory less Before, of the server's process
	Peak     int64   `json:"memory_peak"`   // highest resident memory of the process in between
	Upgrades Latency `json:"upgrades"`      // of clients that came: from connect to the whole answer
}

func (s *session) disturb(ctx context.Context, o *DisturbOptions) (*DisturbRun, error) {
	if err := s.connectAll(ctx); err != nil {
		return nil, err
	}
	f := &o.FanoutOptions
	p := s.publisher(f.mixture())
	r := &DisturbRun{
		FanoutResult: FanoutResult{
			Target: o.Target.Name, Clients: o.Load.Clients, Size: o.Size, Rate: o.Rate,
			Workers: s.load.Workers(), Cores: Cores{Server: o.Server, Load: o.Load.Cores},
		},
		Sizes: p.sizes.String(), Stalled: o.Stalled, Churn: o.Churn, Storm: o.Storm,
	}
	if o.Rate == 0 {
		r.Window = o.Window
	}
	_, r.Stay = o.Load.roles.count(r.Clients)
	if err := s.prepare(ctx, r); err != nil {
		return nil, err
	}
	trouble, err := s.measureDisturbed(ctx, p, o, r, s.warmUp(ctx, p, f))
	if err != nil {
		return nil, err
	}
	trouble, err = s.settle(ctx, p, r, trouble)
	if err != nil {
		return nil, err
	}
	return r, s.concludeDisturbed(r, p, trouble)
}

// prepare looks at the memory with everyone connected, and has those stall who shall. They
// do so before the first message: while a client reads the kernel's send buffer for it grows
// to a megabyte, which a low rate doesn't fill in the time of a run.
func (s *session) prepare(ctx context.Context, r *DisturbRun) (err error) {
	resetPeak(s.server.pid())
	if r.Before, err = readMemory(s.server.pid()); err == nil && r.Stalled > 0 {
		s.counts = false // nobody knows how many deliveries are due
		err = s.load.stall(ctx)
	}
	return err
}

// measureDisturbed is the measured phase, which trouble in the warm-up leaves out. trouble is
// why the run doesn't count, err why there is no result.
func (s *session) measureDisturbed(ctx context.Context, p *publisher, o *DisturbOptions, r *DisturbRun, warm error) (trouble, err error) {
	if err := s.unblock(warm); err != nil {
		return nil, err
	}
	trouble = warm
	first := p.next
	before, err := s.measure(first)
	if err != nil {
		return nil, err
	}
	if trouble == nil {
		p.late.Reset()
		if trouble, err = s.disturbedPhase(ctx, p, o, r); err != nil {
			return nil, err
		}
	}
	s.counts = false // with churn nobody knows, and both kinds of runs are to be alike
	after, err := s.measure(p.next)
	if err != nil {
		return nil, errors.Join(trouble, err)
	}
	r.Messages, r.Late = p.next-first, latencyOf(p.late)
	r.cost(before, after)
	if r.Memory, err = readMemory(s.server.pid()); err != nil {
		return nil, err
	}
	r.Growth = r.Memory.Resident - r.Before.Resident
	r.Peak, err = peakMemory(s.server.pid())
	return trouble, err
}

// disturbedPhase publishes while clients come and leave.
func (s *session) disturbedPhase(ctx context.Context, p *publisher, o *DisturbOptions, r *DisturbRun) (trouble, err error) {
	if o.Storm > 0 {
		return s.rush(ctx, p, o, r)
	}
	if o.Churn > 0 {
		if err := s.load.churn(ctx, o.Churn); err != nil {
			return nil, err
		}
	}
	trouble = s.phase(ctx, p, &o.FanoutOptions, limit{messages: uint64(o.Messages), duration: o.Duration}, "measuring")
	if err := s.load.calm(); err != nil {
		return nil, errors.Join(trouble, err)
	}
	return trouble, s.unblock(trouble)
}

// unblock has stalled clients read on when there is trouble: a server that waits for one
// that doesn't read answers nobody, the bench included.
func (s *session) unblock(trouble error) error {
	if trouble == nil {
		return nil
	}
	if _, err := s.load.resume(s.load.Done()); err != nil {
		return errors.Join(trouble, err)
	}
	return nil
}

// settle has stalled clients read on. When the server then counts as many clients as are
// connected, a last message, which isn't measured, goes to every single one of them.
func (s *session) settle(ctx context.Context, p *publisher, r *DisturbRun, before error) (trouble, err error) {
	trouble = before
	end := p.next
	if trouble != nil {
		end = s.load.Done()
	}
	s.opts.Progress("settling", 0, 0)
	connected, err := s.load.resume(end)
	if err != nil || trouble != nil {
		return trouble, err
	}
	if err := s.server.awaitClients(ctx, connected); err != nil {
		return err, nil
	}
	r.AtEnd = connected
	if err := s.load.run(ctx, p.sizes, ^uint64(0)); err != nil {
		return err, nil
	}
	return errors.Join(p.publishWindow(ctx, 1, limit{messages: 1}), p.drain(ctx)), nil
}

// concludeDisturbed asks the clients what they have seen, and decides whether the run counts.
func (s *session) concludeDisturbed(r *DisturbRun, p *publisher, trouble error) error {
	ctx, cancel := context.WithTimeout(context.Background(), controlPatience)
	defer cancel()
	end := p.next
	if errors.Is(trouble, context.Canceled) {
		end = s.load.Done() // what is still on its way isn't lost
	}
	report, latency, upgrades, err := s.load.Finish(ctx, end)
	if err != nil {
		return err
	}
	r.Deliveries, r.Latency = uint64(latency.TotalCount()), latencyOf(latency)
	if r.Churn > 0 {
		r.Upgrades = latencyOf(upgrades)
	}
	report.Latency, report.Upgrades = nil, nil
	r.Report = report
	if n := float64(report.Measured); n > 0 {
		r.PerDelivery = float64(r.CPU.Server()) / n
		if r.Sends >= 0 {
			r.Sends /= n
		}
	}
	r.judge(trouble)
	return nil
}

func (r *DisturbRun) judge(trouble error) {
	r.Interrupted = errors.Is(trouble, context.Canceled)
	due := r.Messages * uint64(r.Stay)
	c := r.Report.Churn
	switch {
	case r.Report.Any():
		r.Failed = fmt.Sprintf("of %d clients: %s", r.Clients, r.Report.Faults)
		if r.Report.Error != "" {
			r.Failed += "; " + r.Report.Error
		}
	case c.Refused+c.Lingering > 0 || c.Silent > 0 && trouble == nil:
		r.Failed = fmt.Sprintf("of %d clients that came and %d that left: %d couldn't connect, %d missed the last message, %d didn't get done",
			c.Came, c.Left, c.Refused, c.Silent, c.Lingering)
		if r.Report.Error != "" {
			r.Failed += "; " + r.Report.Error
		}
	case r.Interrupted:
	case trouble != nil:
		r.Failed = trouble.Error()
	case r.Deliveries != due:
		r.Failed = fmt.Sprintf("%d deliveries to clients that stay were recorded where %d were due", r.Deliveries, due)
	}
}

// PerArrival is what a client that comes and one that leaves cost the server together, in
// ns of CPU, with what all others are told of that: what the run took above so many
// deliveries of the undisturbed one. ok is false when nobody came, or a run doesn't count.
func (r *DisturbRound) PerArrival() (ns float64, ok bool) {
	if !r.Without.counts() || !r.With.counts() || r.With.Report.Churn.Came == 0 {
		return 0, false
	}
	deliveries := r.Without.PerDelivery * float64(r.With.Report.Measured)
	return (float64(r.With.CPU.Server()) - deliveries) / float64(r.With.Report.Churn.Came), true
}

// cutShort is whether Ctrl-C came when there were figures, and nothing was wrong.
func (r *DisturbRun) cutShort() bool {
	return r != nil && r.Failed == "" && r.Interrupted && r.Report.Measured > 0
}

func (r *DisturbRun) counts() bool {
	return r != nil && r.Failed == "" && !r.Interrupted && r.Report.Measured > 0
}
