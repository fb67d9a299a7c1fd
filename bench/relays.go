package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/busbar-ws/busbar/bench/loadgen"
)

// relays measures what it costs a server to pass messages of some clients on to all.
func (s *session) relays(ctx context.Context) error {
	if s.WarmUp > 0 {
		if err := s.send(ctx, s.WarmUp, "warming up"); err != nil {
			return err
		}
	}
	already, _, _, err := s.load.Finish(0)
	if err != nil {
		return err
	}
	before, err := s.at()
	if err != nil {
		return err
	}
	trouble := s.send(ctx, s.Duration, "measuring")
	after, err := s.at()
	if err != nil {
		return errors.Join(trouble, err)
	}
	report, deliveries, late, err := s.load.Finish(0)
	if err != nil {
		return errors.Join(trouble, err)
	}
	s.seen(&report)
	have := report.Deliveries - already.Deliveries
	s.r.cost("", interval{before: before, after: after}, have)
	s.r.addLatency("delivery", deliveries)
	s.r.addLatency("sender_late", late)
	relayed := after.stats.Relayed - before.stats.Relayed
	due, dropped := relayed*uint64(s.Clients), uint64(0)
	for cause, n := range after.stats.Dropped {
		dropped += n - before.stats.Dropped[cause]
	}
	s.r.count("messages", report.Sent-already.Sent)
	s.r.count("relayed", relayed)
	s.r.count("above_the_limit", after.stats.Limited-before.stats.Limited)
	s.r.count("dropped_by_the_server", dropped)
	switch { // presence may be lost, but not without the server counting that
	case trouble != nil:
		return trouble
	case have > due:
		return fmt.Errorf("%d deliveries where %d were due", have, due)
	case have < due && dropped == 0:
		return fmt.Errorf("%d of %d deliveries are missing, and the server counts none as dropped", due-have, due)
	}
	return nil
}

// at looks at the server as it is: what it has counted isn't known before.
func (s *session) at() (moment, error) {
	s.counts = false
	return s.measure(0)
}

// send has the senders send for a while and waits until everything has arrived, or nothing comes
// any more.
func (s *session) send(ctx context.Context, d time.Duration, name string) error {
	order := loadgen.RelayOrder{Clients: s.Clients, Senders: s.senders(), Size: s.Sizes.Of(0), Rate: s.Rate, For: d}
	if err := patiently(func(ctx context.Context) error {
		if err := s.load.Ready(ctx, order); err != nil {
			return err
		}
		return s.load.Send(ctx, order)
	}); err != nil {
		return err
	}
	began := loadgen.Now()
	for at := began; at < began+int64(d) && ctx.Err() == nil; at = loadgen.Now() {
		s.Progress(name, at-began, int64(d))
		_ = loadgen.Pause(ctx, min(at+int64(50*time.Millisecond), began+int64(d)))
		if err := s.load.Alive(); err != nil {
			return err
		}
	}
	_ = loadgen.Pause(ctx, loadgen.Now()+int64(loadgen.Settle)) // for a last one that was due just now
	if err := patiently(s.load.Quiet); err != nil {
		return err
	}
	return errors.Join(ctx.Err(), s.arrive())
}

// quiet is how long nothing may come before what is missing is missing.
const quiet = time.Second

// arrive waits until the server has passed on everything that was sent, and all clients have had
// it. What was lost doesn't come: then it ends when nothing comes for a while.
func (s *session) arrive() error {
	report, _, _, err := s.load.Finish(0)
	if err != nil {
		return err
	}
	sent := report.Sent
	have, at := s.load.Counted(), loadgen.Now()
	for {
		stats, err := s.server.Control.Stats()
		if err != nil {
			return err
		}
		if n := s.load.Counted(); n != have {
			have, at = n, loadgen.Now()
		}
		read := stats.Relayed+stats.Limited == sent
		late := loadgen.Now()-at > int64(quiet)
		switch {
		case read && (late || have == stats.Relayed*uint64(s.Clients)):
			return nil
		case late:
			return fmt.Errorf("%w: of %d messages sent %d were relayed and %d were above the limit",
				loadgen.ErrStalled, sent, stats.Relayed, stats.Limited)
		}
		loadgen.SleepUntil(loadgen.Now() + int64(time.Millisecond))
	}
}
