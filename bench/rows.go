package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// RowsOptions say what clients subscribe to and how rows are published. Rate, Window,
// Messages, Duration and WarmUp are of each of the three phases.
type RowsOptions struct {
	FanoutOptions
	Rows        int           // that each client subscribes to. Default 100
	Subscribers int           // of each row. Default 3
	Settle      time.Duration // before memory is looked at. Default 3 s
}

func (o *RowsOptions) validate() error {
	if o.Rows == 0 {
		o.Rows = 100
	}
	if o.Subscribers == 0 {
		o.Subscribers = 3
	}
	if o.Settle == 0 {
		o.Settle = 3 * time.Second
	}
	if o.Settle < 0 {
		return fmt.Errorf("%w: settle: %v can't be negative", ErrOptions, o.Settle)
	}
	if o.Subscribers > maxDirect {
		return fmt.Errorf("%w: subscribers: %d of each row; at most %d", ErrOptions, o.Subscribers, maxDirect)
	}
	plan := o.plan()
	return errors.Join(o.FanoutOptions.validate(), plan.prepare())
}

// maxDirect is how many clients a record of ControlClients has room for.
const maxDirect = 1<<16 - 1

func (o *RowsOptions) plan() rowPlan {
	return rowPlan{Clients: o.Load.Clients, Rows: o.Rows, Subscribers: o.Subscribers}
}

// rowsRun is a run of the scenario rows. Owned by one goroutine.
type rowsRun struct {
	*session
	o    *RowsOptions
	plan rowPlan
	r    *RowsResult
	due  uint64 // deliveries of the server so far, when nothing is under way
	have uint64 // deliveries that workers have counted so far
}

// Rows measures what a publish to a row with few subscribers costs among many clients with
// many rows, and next to it, with the same server and clients, what as many deliveries
// without rows cost. Results and errors are as those of Fanout.
func Rows(ctx context.Context, o RowsOptions) (*RowsResult, error) {
	o.defaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	s, err := startSession(ctx, o.Options)
	if err != nil {
		return nil, err
	}
	run := &rowsRun{session: s, o: &o, plan: o.plan()}
	_ = run.plan.prepare() // as validated
	err = run.all(ctx)
	if closing := s.close(); closing != nil && err == nil && run.r.Failed == "" {
		run.r.Failed = closing.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("rows, %s: %w%s", o.Target.Name, err, s.server.errors.suffix())
	}
	run.r.Failed = s.explained(run.r.Failed)
	return run.r, nil
}

func (run *rowsRun) all(ctx context.Context) error {
	stats, err := run.server.control.Stats()
	if err == nil {
		err = stats.requires(run.o.Target.Name, TakesRows, TakesClients)
	}
	if err != nil {
		return err
	}
	run.r = &RowsResult{
		Target: run.o.Target.Name, Clients: run.o.Load.Clients, Rows: int(run.plan.rows()), RowsEach: run.o.Rows,
		Subscribers: run.o.Subscribers, Subscriptions: run.plan.subscriptions(), Size: run.o.Size,
		Rate: run.o.Rate, Workers: run.load.Workers(), Cores: Cores{Server: run.o.Server, Load: run.o.Load.Cores},
	}
	if run.o.Rate == 0 {
		run.r.Window = run.o.Window
	}
	if err := run.connectAll(ctx); err != nil {
		return err
	}
	if err := run.subscribeAll(ctx); err != nil {
		return err
	}
	for _, p := range run.phases() {
		if err := run.measurePhase(ctx, p); err != nil {
			return err
		}
		if run.r.Failed != "" || run.r.Interrupted {
			break
		}
	}
	run.r.compare()
	return nil
}

// settled is the server's memory when it has been left alone for a while.
func (run *rowsRun) settled(ctx context.Context) (Memory, error) {
	run.o.Progress("settling", 0, 0)
	if pause(ctx, now()+int64(run.o.Settle)) != nil {
		run.r.Interrupted = true
	}
	return readMemory(run.server.pid())
}

// maxPending bounds the subscriptions that all workers together may have unanswered: a
// hub has 100,000 wait for an answer, and disconnects who asks for more.
const maxPending = 32 << 10

func (run *rowsRun) subscribeAll(ctx context.Context) (err error) {
	if run.r.Connected, err = run.settled(ctx); err != nil {
		return err
	}
	if run.r.Interrupted {
		run.r.Subscriptions = 0
		return nil
	}
	before, err := run.measureAt(0)
	if err != nil {
		return err
	}
	order := &rowOrder{Do: rowsSubscribe, Plan: run.plan, Pending: maxPending / run.load.Workers(), Stall: int64(run.o.Stall)}
	of := int64(run.r.Subscriptions)
	began := now()
	_, err = run.load.askWatching(ctx, instruction{Tell: tellRows, Rows: order},
		func(int) { run.o.Progress("subscribing", int64(run.load.Counted()), of) })
	run.r.SubscribeSeconds = float64(now()-began) / 1e9
	if ctx.Err() != nil {
		run.r.Interrupted, run.r.Subscriptions = true, int(run.load.Counted())
		return nil // workers are still at it: nothing more can be asked of them
	}
	if err != nil {
		return err
	}
	run.due, run.have = uint64(of), uint64(of)
	after, err := run.measureAt(of)
	if err != nil {
		return err
	}
	run.r.Loops = len(after.stats.Loops)
	run.r.LoopsWanted = loopsWanted(after.stats.Loops, run.o.Subscribers)
	run.r.SubscribeCPU = float64(after.cpu.minus(before.cpu).Server()) / float64(of)
	if after.stats.Subscriptions != int(of) {
		return fmt.Errorf("subscribing: %s counts %d subscriptions where all clients have %d",
			run.o.Target.Name, after.stats.Subscriptions, of)
	}
	if run.r.Subscribed, err = run.settled(ctx); err != nil {
		return err
	}
	run.r.PerSubscription = float64(run.r.Subscribed.minus(run.r.Connected).Resident) / float64(of)
	return nil
}
