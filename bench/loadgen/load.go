// Package loadgen is the bench's clients and its publisher. Clients are held by a few threads of this process, each
// with an epoll loop of its own; they check everything that they are sent.
package loadgen

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/busbar-ws/busbar/bench/runner"
)

// Options say who connects to a server, and from where.
type Options struct {
	Workers  int           // threads that hold the clients; 0: one
	Clients  int           // connections; at least 1
	Pace     int           // connections that may be under way at once, of each worker
	Token    string        // bearer token of every client, or empty
	Stall    time.Duration // without any progress; ends connecting
	Roles    Roles         // what clients do beside reading
	Brief    bool          // they leave as soon as they are connected
	Path     string        // of the server's address, after the first slash
	Protocol string        // of a server that isn't a target: with runner.Centrifugo an upgrade isn't all
	Changes  bool          // they are given change events, and may lose their server and come back (Return)
}

// Load is many clients of one server. Owned by one goroutine, but for Done, Counted and Connected.
type Load struct {
	opts    Options
	apart   *runner.Namespace
	swarms  []*swarm
	changed chan struct{} // has a value when there is progress
	running sync.WaitGroup
}

// Start starts threads in a namespace, or in this one when it is nil; it connects nobody yet.
func Start(o Options, apart *runner.Namespace) (*Load, error) {
	o.Workers = min(max(o.Workers, 1), o.Clients)
	if o.Roles != (Roles{}) {
		o.Workers = max(min(o.Workers, o.Clients/clientsPerWorker), 1)
	}
	atOnce := o.Clients
	if o.Brief {
		atOnce = min(atOnce, o.Pace*o.Workers)
	} else if o.Roles.Churn {
		atOnce += 2 * o.Pace * o.Workers // those that come before others have left
	}
	if err := runner.HoldsClients(atOnce); err != nil {
		return nil, err
	}
	// A worker's thread keeps its place in the scheduler while it reads; the publisher must never wait for one.
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), runtime.NumCPU()+2*o.Workers+2))
	l := &Load{opts: o, apart: apart, changed: make(chan struct{}, 1)}
	for range o.Workers {
		s, err := newSwarm(l.changed)
		if err != nil {
			l.Close()
			return nil, err
		}
		l.swarms = append(l.swarms, s)
		l.running.Go(func() { s.end(apart.Do(s.run)) })
	}
	return l, nil
}

// Workers is how many threads there are.
func (l *Load) Workers() int { return len(l.swarms) }

// Done is how many messages every client has come past, from the first one on.
func (l *Load) Done() uint64 {
	done := ^uint64(0)
	for _, s := range l.swarms {
		done = min(done, s.done.Load())
	}
	return done
}

// Counted is how many deliveries all clients together have had, in runs that count them.
func (l *Load) Counted() (n uint64) {
	for _, s := range l.swarms {
		n += s.mailbox.told.Load()
	}
	return n
}

// Connected is how many clients are connected.
func (l *Load) Connected() (n int) {
	for _, s := range l.swarms {
		n += int(s.mailbox.open.Load())
	}
	return n
}

// Connect connects all clients and returns how long that took. progress is called with the
// number of clients that are.
func (l *Load) Connect(ctx context.Context, server string, progress func()) (time.Duration, error) {
	address, err := serverAddress(server, l.opts.Clients)
	if err != nil {
		return 0, err
	}
	began, n := Now(), len(l.swarms)
	for i, s := range l.swarms {
		first := i*(l.opts.Clients/n) + min(i, l.opts.Clients%n)
		next := (i+1)*(l.opts.Clients/n) + min(i+1, l.opts.Clients%n)
		s.plan = connectPlan{Options: l.opts, server: address, apart: l.apart != nil, first: first}
		s.plan.Clients = next - first
	}
	if err := l.each(ctx, progress, (*swarm).connect); err != nil {
		return 0, fmt.Errorf("connecting %d clients (%d are): %w", l.opts.Clients, l.Connected(), err)
	}
	return time.Duration(Now() - began), nil
}

// each has every worker call f, and waits for all. progress is called when there is some; it may be nil. When
// ctx ends first, what f began goes on.
func (l *Load) each(ctx context.Context, progress func(), f func(*swarm) error) error {
	answers := make(chan error, len(l.swarms))
	for _, s := range l.swarms {
		select {
		case s.tasks <- func() { answers <- s.do(f) }:
			s.interrupt()
		case <-s.ended:
			return s.failure
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for waiting := len(l.swarms); waiting > 0; {
		select {
		case err := <-answers:
			if err != nil {
				return err
			}
			waiting--
		case <-l.changed:
			if progress != nil {
				progress()
			}
			if err := l.Alive(); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Record has clients expect messages of these sizes, and note latencies from a message on, of changes from now on.
func (l *Load) Record(ctx context.Context, sizes Mixture, from uint64) error {
	return l.each(ctx, nil, func(s *swarm) error {
		if s.sizes, s.recordFrom = sizes, from; s.plan.Changes {
			s.latency.Reset()
		}
		return nil
	})
}

// Stall has those clients stop reading that are meant to.
func (l *Load) Stall(ctx context.Context) error { return l.each(ctx, nil, (*swarm).stall) }

// Resume has clients that stopped read what there is, up to a message.
func (l *Load) Resume(ctx context.Context, end uint64) error {
	return l.each(ctx, nil, func(s *swarm) error { return s.resume(end) })
}

// Churn has so many clients a second come and leave from here on.
func (l *Load) Churn(ctx context.Context, rate float64) error {
	return l.each(ctx, nil, func(s *swarm) error { s.churn(rate / float64(len(l.swarms))); return nil })
}

// Calm ends coming and leaving.
func (l *Load) Calm(ctx context.Context) error { return l.each(ctx, nil, (*swarm).calm) }

// Return waits until the server has ended all connections, and then has so many clients a second come to the next one,
// each with the cursor that it has. Latencies are recorded anew.
func (l *Load) Return(ctx context.Context, rate float64) error {
	return l.each(ctx, nil, func(s *swarm) error { return s.comeBack(rate / float64(len(l.swarms))) })
}

// Subscribe subscribes every client to its rows of a plan that is prepared. pending bounds the subscriptions that may be
// unanswered.
func (l *Load) Subscribe(ctx context.Context, plan *RowPlan, pending int, progress func()) error {
	return l.each(ctx, progress, func(s *swarm) error { return s.subscribe(plan, pending/len(l.swarms)) })
}

// Expect says what is published from here on. Latencies are recorded anew.
func (l *Load) Expect(ctx context.Context, phase Phase) error {
	return l.each(ctx, nil, func(s *swarm) error { return s.expect(phase) })
}

// Ready has everybody expect what senders of an order send, and record that anew.
func (l *Load) Ready(ctx context.Context, o RelayOrder) error {
	return l.each(ctx, nil, func(s *swarm) error { return s.readyToSend(o) })
}

// Send has senders send for a while.
func (l *Load) Send(ctx context.Context, o RelayOrder) error {
	return l.each(ctx, nil, func(s *swarm) error { return s.startSending(o) })
}

// Quiet ends sending.
func (l *Load) Quiet(ctx context.Context) error {
	return l.each(ctx, nil, func(s *swarm) error { s.relays.planned = s.relays.sent; return nil })
}

// Finish ends a phase in which the messages below end were published, and returns what the
// clients have seen, with the histograms of deliveries and of upgrades, or with relays of
// how late they were sent.
func (l *Load) Finish(end uint64) (Report, *hdrhistogram.Histogram, *hdrhistogram.Histogram, error) {
	ctx, cancel := context.WithTimeout(context.Background(), runner.ControlPatience)
	defer cancel()
	var mu sync.Mutex
	var total Report
	deliveries, second := NewHistogram(), NewHistogram()
	err := l.each(ctx, nil, func(s *swarm) error {
		r, late, err := s.finish(end)
		mu.Lock()
		defer mu.Unlock()
		total.add(r)
		deliveries.Merge(s.latency)
		second.Merge(late)
		return err
	})
	if err != nil {
		return Report{}, nil, nil, err
	}
	return total, deliveries, second, nil
}

// Close ends all connections, whatever is being done.
func (l *Load) Close() {
	for _, s := range l.swarms {
		s.closing.Store(true)
		s.interrupt()
	}
	l.running.Wait()
	for _, s := range l.swarms {
		s.close()
	}
}

// Alive is an error when a worker has ended.
func (l *Load) Alive() error {
	for _, s := range l.swarms {
		select {
		case <-s.ended:
			return s.failure
		default:
		}
	}
	return nil
}
