package bench

import (
	"context"
	"time"
)

// measureRelays is the measured stretch.
func (run *presenceRun) measureRelays(ctx context.Context) error {
	before, err := run.now()
	if err != nil {
		return err
	}
	if err := run.tell(run.order(presenceReady)); err != nil {
		return err
	}
	already, err := run.report()
	if err != nil {
		return err
	}
	trouble, err := run.stretch(ctx, run.o.Duration, "measuring")
	if err != nil {
		return err
	}
	after, err := run.now()
	if err != nil {
		return err
	}
	report, err := run.report()
	if err != nil {
		return err
	}
	run.r.cost(before, after)
	run.r.Sent = report.Relays.Sent - already.Relays.Sent
	run.r.Deliveries = report.Deliveries - already.Deliveries
	run.r.Report = report
	run.r.judge(trouble)
	return nil
}

// now measures the server as it is: what it has counted isn't known before.
func (run *presenceRun) now() (moment, error) {
	stats, err := run.server.control.Stats()
	if err != nil {
		return moment{}, err
	}
	cpu, err := run.meter.read()
	return moment{at: now(), cpu: cpu, stats: stats}, err
}

// leaveQuiet is how long no message may come before all are there: several of the times
// for which a server collects leaves.
const leaveQuiet = 500 * time.Millisecond

// quietAfter is how long nothing may come: until the first message as long as in any run.
func (run *presenceRun) quietAfter(came bool) int64 {
	if came {
		return int64(leaveQuiet)
	}
	return int64(run.o.Stall)
}

// measureLeaves has clients leave at once, and counts what those who stay are told.
func (run *presenceRun) measureLeaves(ctx context.Context) error {
	before, err := run.now()
	if err != nil {
		return err
	}
	none := run.load.Counted()
	o := run.order(presenceLeave)
	o.Leave = run.o.Leave
	if err := run.tell(o); err != nil {
		return err
	}
	if err := run.server.awaitClients(ctx, run.o.Load.Clients-run.o.Leave); err != nil {
		return err
	}
	for last, moved := none, now(); now()-moved < run.quietAfter(last > none) && ctx.Err() == nil; {
		run.o.Progress("leaving", 0, 0)
		_ = pause(ctx, now()+int64(20*time.Millisecond))
		if n := run.load.Counted(); n != last {
			last, moved = n, now()
		}
	}
	run.r.Interrupted = ctx.Err() != nil
	after, err := run.now()
	if err != nil {
		return err
	}
	latency, late := run.r.Latency, run.r.Late
	report, err := run.report()
	run.r.Latency, run.r.Late, run.r.Report = latency, late, report
	if err != nil {
		return err
	}
	run.r.leaves(before, after, report, run.o.Leave)
	return nil
}
