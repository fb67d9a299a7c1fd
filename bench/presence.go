package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// presenceRun is a run of the scenario presence. Owned by one goroutine.
type presenceRun struct {
	*session
	o *PresenceOptions
	r *PresenceResult
}

// Presence measures what it costs a server to pass messages of some clients on to all, and
// what those who stay are told when many leave at once. Results and errors are as those of
// Fanout.
func Presence(ctx context.Context, o PresenceOptions) (*PresenceResult, error) {
	o.defaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	s, err := startSession(ctx, o.Options)
	if err != nil {
		return nil, err
	}
	run := &presenceRun{session: s, o: &o}
	err = run.all(ctx)
	if closing := s.close(); closing != nil && err == nil && run.r.Failed == "" {
		run.r.Failed = closing.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("presence, %s: %w%s", o.Target.Name, err, s.server.errors.suffix())
	}
	run.r.Failed = s.explained(run.r.Failed)
	return run.r, nil
}

func (run *presenceRun) all(ctx context.Context) error {
	stats, err := run.server.control.Stats()
	if err == nil {
		err = stats.requires(run.o.Target.Name, TakesPresence)
	}
	if err != nil {
		return err
	}
	run.r = &PresenceResult{
		Target: run.o.Target.Name, Clients: run.o.Load.Clients, Senders: run.o.senders(), Size: run.o.Size, Rate: run.o.Rate,
		Workers: run.load.Workers(), Cores: Cores{Server: run.o.Server, Load: run.o.Load.Cores},
	}
	if err := run.connectAll(ctx); err != nil {
		return err
	}
	if run.o.WarmUp > 0 {
		if _, err := run.stretch(ctx, run.o.WarmUp, "warming up"); err != nil {
			return err
		}
	}
	if !run.r.Interrupted {
		if err := run.measureRelays(ctx); err != nil {
			return err
		}
	}
	if run.o.Leave > 0 && !run.r.Interrupted && run.r.Failed == "" {
		return run.measureLeaves(ctx)
	}
	return nil
}

func (run *presenceRun) order(do string) presenceOrder {
	return presenceOrder{Do: do, Clients: run.o.Load.Clients, Senders: run.o.senders(), Size: run.o.Size, Rate: run.o.Rate}
}

func (run *presenceRun) tell(o presenceOrder) error {
	ctx, cancel := context.WithTimeout(context.Background(), controlPatience)
	defer cancel()
	_, err := run.load.ask(ctx, instruction{Tell: tellPresence, Presence: &o})
	return err
}

// stretch has the senders send for a while and waits until everything has arrived, or
// nothing comes any more.
func (run *presenceRun) stretch(ctx context.Context, d time.Duration, name string) (trouble, err error) {
	if err := run.tell(run.order(presenceReady)); err != nil {
		return nil, err
	}
	o := run.order(presenceSend)
	o.For = int64(d)
	if err := run.tell(o); err != nil {
		return nil, err
	}
	began := now()
	for at := began; at < began+int64(d) && ctx.Err() == nil; at = now() {
		run.o.Progress(name, at-began, int64(d))
		_ = pause(ctx, min(at+int64(50*time.Millisecond), began+int64(d)))
		if err := run.load.alive(); err != nil {
			return nil, err
		}
	}
	run.r.Interrupted = ctx.Err() != nil
	if !run.r.Interrupted {
		_ = pause(ctx, now()+int64(settle)) // for a last one that was due just now
	}
	if err := run.tell(run.order(presenceStop)); err != nil {
		return nil, err
	}
	at, trouble, err := run.arrive()
	run.r.Seconds = float64(at-began) / 1e9
	return trouble, err
}

// quiet is how long nothing may come before what is missing is missing.
const quiet = time.Second

// arrive waits until the server has passed on everything that was sent, and all clients
// have had it. What was lost doesn't come: then it ends when nothing comes for a while. It
// returns when something last came.
func (run *presenceRun) arrive() (at int64, trouble, err error) {
	report, err := run.report()
	if err != nil {
		return 0, nil, err
	}
	sent := report.Relays.Sent
	have, at := run.load.Counted(), now()
	for {
		stats, err := run.server.control.Stats()
		if err != nil {
			return 0, nil, err
		}
		if n := run.load.Counted(); n != have {
			have, at = n, now()
		}
		read := stats.Relayed+stats.Limited == sent
		if read && have == stats.Relayed*uint64(run.o.Load.Clients) {
			return at, nil, nil
		}
		if now()-at > int64(quiet) {
			if !read {
				trouble = fmt.Errorf("%w: of %d messages sent %d were relayed and %d were above the limit",
					ErrStalled, sent, stats.Relayed, stats.Limited)
			}
			return at, trouble, nil
		}
		sleepUntil(now() + int64(time.Millisecond))
	}
}

// report is what all clients have sent and seen since the start.
func (run *presenceRun) report() (Report, error) {
	ctx, cancel := context.WithTimeout(context.Background(), controlPatience)
	defer cancel()
	o := run.order(presenceReport)
	total, latency, late, err := run.load.reports(ctx, instruction{Tell: tellPresence, Presence: &o})
	if err != nil {
		return Report{}, err
	}
	if total.Relays == nil {
		return Report{}, errors.New("workers said nothing about what they sent")
	}
	total.Latency, total.Upgrades = nil, nil
	run.r.Latency, run.r.Late = latencyOf(latency), latencyOf(late)
	return total, nil
}
