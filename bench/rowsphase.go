package bench

import (
	"context"
	"errors"
)

// rowsPhase is one way of publishing that a run measures.
type rowsPhase struct {
	do, name   string
	deliveries uint64 // of each message
	limit      limit
	// publisher publishes as the phase does.
	publisher func() *publisher
	result    *RowsPhase
}

func (run *rowsRun) phases() []rowsPhase {
	each := uint64(run.o.Subscribers)
	clients := uint64(run.o.Load.Clients)
	until := limit{messages: uint64(run.o.Messages), duration: run.o.Duration}
	fewer := until // as many deliveries to all clients take fewer messages
	if until.messages > 0 {
		fewer.messages = max(until.messages*each/clients, 1)
	}
	return []rowsPhase{
		{rowsPublish, "rows", each, until, run.toRows, &run.r.ToRows},
		{rowsDirect, "without rows", each, until, run.toSome, &run.r.ToSome},
		{rowsBroadcast, "to all", clients, fewer, func() *publisher { return run.publisher(run.frameSize()) }, &run.r.ToAll},
	}
}

// frameSize is the payload of a WebSocket message, the same in all phases.
func (run *rowsRun) frameSize() Mixture {
	return Mixture{{Size: rowHeadSize + run.o.Size, Weight: 1}}
}

// counting has a publisher follow the number of deliveries instead of the messages that
// every client has.
func (run *rowsRun) counting(p *publisher) *publisher {
	base, each := run.have, uint64(run.o.Subscribers)
	p.done = func() uint64 { return (max(run.load.Counted(), base) - base) / each }
	return p
}

func (run *rowsRun) toRows() *publisher {
	p := run.counting(run.publisher(run.frameSize()))
	p.add = func(seq uint64) []byte { return p.control.addRow(run.plan.target(seq), p.sizes.of(seq)) }
	return p
}

// toSome sends to as many clients as a row has, and to clients as scattered.
func (run *rowsRun) toSome() *publisher {
	p := run.counting(run.publisher(run.frameSize()))
	var clients []uint32
	p.add = func(seq uint64) []byte {
		clients = run.plan.subscribers(clients[:0], run.plan.target(seq))
		return p.control.addTo(clients, p.sizes.of(seq))
	}
	return p
}

func (run *rowsRun) measurePhase(ctx context.Context, ph rowsPhase) error {
	if ctx.Err() != nil {
		run.r.Interrupted = true
		return nil
	}
	if _, err := run.load.ask(ctx, instruction{Tell: tellRows, Rows: &rowOrder{Do: ph.do}}); err != nil {
		return err
	}
	p := ph.publisher()
	o := run.o.FanoutOptions
	o.sizes = p.sizes
	trouble := run.warmUp(ctx, p, &o)
	first := p.next
	before, err := run.measureAt(int64(run.due + first*ph.deliveries))
	if err != nil {
		return err
	}
	if trouble == nil {
		p.late.Reset()
		trouble = run.phase(ctx, p, &o, ph.limit, ph.name)
	}
	after, err := run.measureAt(int64(run.due + p.next*ph.deliveries))
	if err != nil {
		return err
	}
	run.due += p.next * ph.deliveries
	ph.result.cost(before, after, p.next-first)
	ph.result.Late = latencyOf(p.late)
	return run.conclude(ph, p, first, trouble)
}

// conclude asks the clients what they have seen of a phase, and decides whether it counts.
func (run *rowsRun) conclude(ph rowsPhase, p *publisher, first uint64, trouble error) error {
	ctx, cancel := context.WithTimeout(context.Background(), controlPatience)
	defer cancel()
	run.r.Interrupted = errors.Is(trouble, context.Canceled)
	end := p.next
	if run.r.Interrupted && p.done() < end {
		end = 0 // what is still on its way isn't lost
	}
	ask := instruction{Tell: tellRows, Rows: &rowOrder{Do: rowsReport, End: end}}
	if ph.do == rowsBroadcast {
		ask = instruction{Tell: tellFinish, End: end}
	}
	report, latency, _, err := run.load.reports(ctx, ask)
	if err != nil {
		return err
	}
	report.Latency, report.Upgrades = nil, nil
	run.r.Report = report
	if ph.do != rowsBroadcast {
		run.have += p.next * ph.deliveries
	}
	ph.result.deliver(latency, ph.deliveries)
	run.r.judge(ph, trouble)
	return nil
}
