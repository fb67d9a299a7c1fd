package bench

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/busbar-ws/busbar/bench/loadgen"
	"github.com/busbar-ws/busbar/bench/runner"
)

// fanout publishes to all clients, while they do what clients do.
func (s *session) fanout(ctx context.Context) error {
	p := loadgen.NewPublisher(s.server.Control, s.load, s.Sizes, s.Stall)
	runner.ResetPeak(s.server.PID())
	start, err := runner.ReadMemory(s.server.PID())
	if err != nil {
		return err
	}
	// They stop before the first message: while a client reads, the kernel's send buffer for it
	// grows to a megabyte, which a low rate doesn't fill in the time of a run.
	if s.Stalled > 0 {
		s.counts = false // nobody knows how many deliveries are due
		if err := s.load.Stall(ctx); err != nil {
			return err
		}
	}
	sp, trouble, err := s.measured(ctx, p, 0, uint64(s.Clients), func() error { return s.disturb(ctx, p) })
	if err == nil {
		err = s.memory(start, trouble)
	}
	if err != nil {
		return errors.Join(trouble, err)
	}
	if s.disturbed() && trouble == nil {
		trouble = s.rejoin(ctx, p)
	}
	return errors.Join(trouble, s.books(p, trouble, sp))
}

// memory notes what the server holds at the end of the measured phase.
func (s *session) memory(start runner.Memory, trouble error) error {
	now, err := runner.ReadMemory(s.server.PID())
	if err != nil || s.Messages == 0 && s.Duration == 0 {
		return err
	}
	peak, err := runner.PeakMemory(s.server.PID())
	s.r.add("resident_memory", Bytes, float64(now.Resident))
	s.r.add("resident_growth", Bytes, float64(now.Resident-start.Resident))
	s.r.add("resident_peak", Bytes, float64(peak))
	if s.Settle > 0 && trouble == nil {
		s.r.add("user_memory_per_connection_after_messages", Bytes, float64(now.Minus(s.alone).Resident)/float64(s.Clients))
	}
	return err
}

// books asks the clients what they have seen.
func (s *session) books(p *loadgen.Publisher, trouble error, sp interval) error {
	report, deliveries, upgrades, err := s.load.Finish(s.end(p, trouble))
	if err != nil {
		return err
	}
	s.seen(&report)
	s.r.cost("", sp, report.Measured)
	s.r.addLatency("delivery", deliveries)
	if s.Rate > 0 {
		s.r.addLatency("publisher_late", p.Late)
	}
	switch {
	case s.Churn > 0:
		s.r.addLatency("arrival", upgrades)
	case s.Storm == 0:
		s.r.addLatency("connect", upgrades)
	}
	if sp.messages > 0 {
		s.r.count("messages", sp.messages)
	}
	s.crowd(&report)
	_, stay := s.roles().Count(s.Clients)
	switch due, have := sp.messages*uint64(stay), uint64(deliveries.TotalCount()); {
	case report.Churn.Refused+report.Churn.Lingering > 0 || report.Churn.Silent > 0 && trouble == nil:
		c := report.Churn
		s.r.fail(fmt.Sprintf("of %d clients that came and %d that left: %d couldn't connect, %d missed the last message, %d didn't get done; %s",
			c.Came, c.Left, c.Refused, c.Silent, c.Lingering, report.Error))
	case trouble == nil && have != due:
		return fmt.Errorf("%d deliveries to clients that stay were recorded where %d were due", have, due)
	}
	return nil
}

// crowd notes what became of clients that stopped reading, came, or left.
func (s *session) crowd(report *loadgen.Report) {
	if st := report.Stalled; s.Stalled > 0 {
		s.r.count("stalled", st.Clients)
		s.r.count("stalled_disconnected", st.Disconnected)
		s.r.count("stalled_with_close_frame", st.Closed)
		s.r.count("stalled_told_of_loss", st.Told)
		s.r.count("stalled_with_gaps", st.Gapped)
		s.r.count("stalled_messages_lost", st.Lost)
		s.r.count("stalled_caught_up", st.CaughtUp)
		s.r.count("stalled_behind", st.Behind)
	}
	if s.Churn > 0 {
		s.r.count("came", report.Churn.Came)
		s.r.count("left", report.Churn.Left)
	}
	if texts := report.Texts - s.probes; texts > 0 {
		s.r.count("text_messages", texts)
	}
}

// disturb is the measured phase, while clients come and leave.
func (s *session) disturb(ctx context.Context, p *loadgen.Publisher) error {
	if s.Storm > 0 {
		return s.rush(ctx, p)
	}
	if s.Churn > 0 {
		if err := s.load.Churn(ctx, s.Churn); err != nil {
			return err
		}
	}
	trouble := s.phase(ctx, p, s.limit(), "measuring")
	if s.Churn > 0 {
		trouble = errors.Join(trouble, patiently(s.load.Calm))
	}
	return trouble
}

// patiently has clients do what they also do after Ctrl-C.
func patiently(f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), runner.ControlPatience)
	defer cancel()
	return f(ctx)
}

// unblock has stalled clients read on when there is trouble: a server that waits for one that
// doesn't read answers nobody, the bench included.
func (s *session) unblock(trouble error) {
	if trouble != nil && s.Stalled > 0 {
		_ = patiently(func(ctx context.Context) error { return s.load.Resume(ctx, s.load.Done()) }) // a worker that has ended is found when it is asked for its books
	}
}

// rejoin has stalled clients read on. When the server then counts as many clients as are
// connected, a last message, which isn't measured, goes to every single one of them.
func (s *session) rejoin(ctx context.Context, p *loadgen.Publisher) error {
	s.Progress("settling", 0, 0)
	if err := s.load.Resume(ctx, p.Next); err != nil {
		return err
	}
	if err := s.awaitClients(ctx, s.load.Connected()); err != nil {
		return err
	}
	if err := s.record(ctx, p, ^uint64(0)); err != nil {
		return err
	}
	return errors.Join(p.Window(ctx, 1, loadgen.Limit{Messages: 1}), p.Drain(ctx))
}

// rush publishes while very many clients come, from threads of their own: those that record
// when messages arrive have nothing else to do. A client that comes leaves as soon as it is
// connected, so that each message has the same clients to go to all the time.
func (s *session) rush(ctx context.Context, p *loadgen.Publisher) error {
	many := s.clients()
	many.Clients, many.Brief, many.Roles = s.Storm, true, loadgen.Roles{}
	storm, err := loadgen.Start(many, s.apart)
	if err != nil {
		return err
	}
	defer storm.Close()
	var over atomic.Bool
	var took time.Duration
	failed := make(chan error, 1)
	go func() {
		defer over.Store(true)
		var err error
		took, err = storm.Connect(ctx, s.server.Address, nil)
		failed <- err
	}()
	trouble := s.phase(ctx, p, loadgen.Limit{Ended: over.Load}, "measuring")
	if err := <-failed; err != nil {
		return errors.Join(trouble, fmt.Errorf("the storm: %w", err))
	}
	report, _, upgrades, err := storm.Finish(0)
	if err == nil && report.Any() {
		err = fmt.Errorf("the storm: %v; %s", report.Faults, report.Error)
	}
	if err != nil {
		return errors.Join(trouble, err)
	}
	s.r.add("storm_connects_per_second", PerSecond, float64(s.Storm)/took.Seconds())
	s.r.addLatency("arrival", upgrades)
	return trouble
}
