package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/busbar-ws/busbar/bench/loadgen"
	"github.com/busbar-ws/busbar/bench/runner"
)

// rowsRun measures what a publish to a row with few subscribers costs among many clients with many
// rows, and next to it, with the same server and clients, what as many deliveries without rows
// cost, and messages to all.
type rowsRun struct {
	*session
	plan *loadgen.RowPlan
	due  uint64 // deliveries of the server so far, when nothing is under way
	have uint64 // deliveries that workers have counted so far
}

func (s *session) rows(ctx context.Context) error {
	run := &rowsRun{session: s, plan: s.plan()}
	if err := run.plan.Prepare(); err != nil {
		return err
	}
	if err := run.subscribe(ctx); err != nil {
		return err
	}
	each, until := uint64(s.Subscribers), s.limit()
	fewer := until // as many deliveries to all clients take fewer messages
	if until.Messages > 0 {
		fewer.Messages = max(until.Messages*each/uint64(s.Clients), 1)
	}
	for _, p := range []rowsPhase{
		{"rows", loadgen.ToRows, each, until, run.toRows},
		{"clients", loadgen.ToClients, each, until, run.toSome},
		{"all", loadgen.ToAll, uint64(s.Clients), fewer, run.publisher},
	} {
		if err := run.measurePhase(ctx, p); err != nil {
			return fmt.Errorf("to %s: %w", p.name, err)
		}
		if len(s.r.Failures) > 0 {
			return nil
		}
	}
	return nil
}

// rowsPhase is one way of publishing.
type rowsPhase struct {
	name      string
	is        loadgen.Phase
	each      uint64 // deliveries of a message
	until     loadgen.Limit
	publisher func() *loadgen.Publisher
}

// maxPending bounds the subscriptions that all workers together may have unanswered: a
// hub has 100,000 wait for an answer, and disconnects who asks for more.
const maxPending = 32 << 10

func (run *rowsRun) subscribe(ctx context.Context) error {
	before, err := run.measure(0)
	if err != nil {
		return err
	}
	connected, err := runner.ReadMemory(run.server.PID())
	if err != nil {
		return err
	}
	of, began := uint64(run.plan.Subscriptions()), loadgen.Now()
	progress := func() { run.Progress("subscribing", int64(run.load.Counted()), int64(of)) }
	if err := run.load.Subscribe(ctx, run.plan, maxPending, progress); err != nil {
		return err
	}
	run.r.add("subscriptions", Count, float64(of))
	run.r.add("subscriptions_per_second", PerSecond, float64(of)/(float64(loadgen.Now()-began)/1e9))
	run.due, run.have = of, of
	after, err := run.measure(of)
	if err != nil {
		return err
	}
	if after.stats.Subscriptions != int(of) {
		return fmt.Errorf("subscribing: %s counts %d subscriptions where all clients have %d", run.Target.Name, after.stats.Subscriptions, of)
	}
	run.r.add("cpu_per_subscription", Nanoseconds, float64(after.cpu.Minus(before.cpu).Server())/float64(of))
	run.r.add("loops", Count, float64(len(after.stats.Loops)))
	if run.Settle > 0 {
		run.Progress("settling", 0, 0)
		if err := loadgen.Pause(ctx, loadgen.Now()+int64(run.Settle)); err != nil {
			return err
		}
		m, err := runner.ReadMemory(run.server.PID())
		if err != nil {
			return err
		}
		run.r.add("memory_per_subscription", Bytes, float64(m.Minus(connected).Resident)/float64(of))
	}
	return nil
}

// publisher publishes WebSocket messages of the same size in all phases.
func (run *rowsRun) publisher() *loadgen.Publisher {
	return loadgen.NewPublisher(run.server.Control, run.load, loadgen.Size(loadgen.RowHead+run.Sizes.Of(0)), run.Stall)
}

// counting follows the number of deliveries instead of the messages that every client has.
func (run *rowsRun) counting() *loadgen.Publisher {
	p := run.publisher()
	base, each := run.have, uint64(run.Subscribers)
	p.Done = func() uint64 { return (max(run.load.Counted(), base) - base) / each }
	return p
}

func (run *rowsRun) toRows() *loadgen.Publisher {
	p := run.counting()
	var head []byte
	p.Add = func(seq uint64) []byte {
		head = loadgen.AppendUpdate(head[:0], run.plan.Target(seq))
		return run.server.Control.AddRow(head, p.Sizes.Of(seq))
	}
	return p
}

// toSome sends to as many clients as a row has, and to clients as scattered.
func (run *rowsRun) toSome() *loadgen.Publisher {
	p := run.counting()
	p.Add = func(seq uint64) []byte {
		return run.server.Control.AddTo(run.plan.Members(run.plan.Target(seq)), p.Sizes.Of(seq))
	}
	return p
}

func (run *rowsRun) measurePhase(ctx context.Context, ph rowsPhase) error {
	if err := run.load.Expect(ctx, ph.is); err != nil {
		return err
	}
	p := ph.publisher()
	sp, trouble, err := run.measured(ctx, p, run.due, ph.each, func() error { return run.phase(ctx, p, ph.until, ph.name) })
	if err != nil {
		return errors.Join(trouble, err)
	}
	run.due += p.Next * ph.each
	report, deliveries, _, err := run.load.Finish(run.end(p, trouble))
	if err != nil {
		return errors.Join(trouble, err)
	}
	if ph.is != loadgen.ToAll {
		run.have += p.Next * ph.each
	}
	run.seen(&report)
	run.figures(ph, sp, uint64(deliveries.TotalCount()))
	run.r.addLatency("to_"+ph.name, deliveries)
	if run.Rate > 0 {
		run.r.addLatency("to_"+ph.name+"_publisher_late", p.Late)
	}
	if due := sp.messages * ph.each; trouble == nil && uint64(deliveries.TotalCount()) != due {
		trouble = fmt.Errorf("%d deliveries were recorded where %d were due", deliveries.TotalCount(), due)
	}
	return trouble
}

// figures notes what a phase cost, and what that is divided by each phase before.
func (run *rowsRun) figures(ph rowsPhase, sp interval, deliveries uint64) {
	if sp.messages == 0 || deliveries == 0 {
		return
	}
	r, prefix := run.r, "to_"+ph.name+"_"
	r.count(prefix+"messages", sp.messages)
	r.cost(prefix, sp, deliveries)
	each := func(name string) float64 { return r.Figure("to_" + name + "_cpu_per_delivery").Median }
	r.add(prefix+"cpu_per_publish", Nanoseconds, each(ph.name)*float64(ph.each))
	wakes, unwanted := uint64(0), uint64(0)
	for i, l := range sp.after.stats.Loops {
		wakes += l.Wakes - sp.before.stats.Loops[i].Wakes
		unwanted += l.Unwanted - sp.before.stats.Loops[i].Unwanted
	}
	r.add(prefix+"wakes_per_publish", PerOne, float64(wakes)/float64(sp.messages))
	if unwanted > 0 {
		r.fail(fmt.Sprintf("to %s: loops were given %d messages of which they had no subscriber", ph.name, unwanted))
	}
	if ph.name != "rows" {
		r.add("rows_cpu_over_"+ph.name, PerOne, each("rows")/each(ph.name))
	}
}
