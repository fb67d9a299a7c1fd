package loadgen

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/busbar-ws/busbar/bench/runner"
)

// Options say who connects to a server, and from where.
type Options struct {
	Worker  []string      // the command that calls RunWorker
	Workers int           // processes that hold the clients; 0: as many as descriptors and Cores ask for
	Clients int           // connections; at least 1
	Pace    int           // connections that may be under way at once, of each worker
	Token   string        // bearer token of every client, or empty
	Stall   time.Duration // without any progress; ends connecting
	Cores   []int         // that workers run on; empty: any
	Roles   Roles         // what clients do beside reading
	Brief   bool          // they leave as soon as they are connected
	Changes bool          // they are given change events, and may lose their server and come back (TellReturn)
}

// Load is the worker processes and their clients. Owned by one goroutine, but for Done,
// Counted and Connected.
type Load struct {
	opts    Options
	workers []*workerProcess
	apart   bool          // workers are in a namespace
	changed chan struct{} // has a value when there is progress
	asked   uint64        // id of the last instruction
}

// Start starts worker processes in a namespace, or in this one when it is nil; it connects
// nobody yet.
func Start(o Options, apart *runner.Namespace) (*Load, error) {
	limit, err := runner.RaiseDescriptors()
	if err != nil {
		return nil, err
	}
	if o.Roles.Churn {
		limit -= 2 * o.Pace // those that come before others have left
	}
	needed, err := workersFor(o.Clients, limit)
	if err != nil {
		return nil, err
	}
	if o.Workers == 0 {
		o.Workers = max(needed, len(o.Cores), 1)
	}
	if o.Workers < needed {
		return nil, fmt.Errorf("%d workers: %d clients need %d, with %d descriptors each", o.Workers, o.Clients, needed, limit)
	}
	o.Workers = min(o.Workers, o.Clients)
	if o.Roles != (Roles{}) {
		o.Workers = max(min(o.Workers, o.Clients/clientsPerWorker), 1)
	}
	l := &Load{opts: o, apart: apart != nil, changed: make(chan struct{}, 1)}
	for range o.Workers {
		w, err := startWorker(o.Worker, o.Cores, apart, l.changed)
		if err != nil {
			l.Close()
			return nil, err
		}
		l.workers = append(l.workers, w)
	}
	return l, nil
}

// workersFor is how many worker processes hold so many clients with a descriptor limit.
func workersFor(clients, limit int) (int, error) {
	room := limit - runner.ReservedDescriptors
	if room < 1 {
		return 0, fmt.Errorf("a limit of %d descriptors is too low for clients; raise it (ulimit -n)", limit)
	}
	return (clients + room - 1) / room, nil
}

// PIDs are the worker processes.
func (l *Load) PIDs() (pids []int) {
	for _, w := range l.workers {
		pids = append(pids, w.cmd.Process.Pid)
	}
	return pids
}

// Done is how many messages every client has come past, from the first one on.
func (l *Load) Done() uint64 {
	done := ^uint64(0)
	for _, w := range l.workers {
		done = min(done, w.done.Load())
	}
	return done
}

// Counted is how many deliveries all clients together have had, in runs that count them.
func (l *Load) Counted() (n uint64) {
	for _, w := range l.workers {
		n += w.counted.Load()
	}
	return n
}

// Connected is how many clients were connected when last heard of.
func (l *Load) Connected() (n int) {
	for _, w := range l.workers {
		n += int(w.connected.Load())
	}
	return n
}

// Connect connects all clients and returns how long that took. progress is called with the
// number of clients that are.
func (l *Load) Connect(ctx context.Context, server string, progress func(int)) (time.Duration, error) {
	began := Now()
	l.asked++
	first := 0
	for i, w := range l.workers {
		share := l.opts.Clients / len(l.workers)
		if i < l.opts.Clients%len(l.workers) {
			share++
		}
		plan := connectPlan{
			Server: server, Clients: share, First: first, Pace: l.opts.Pace, Token: l.opts.Token, Stall: l.opts.Stall,
			Apart: l.apart, Brief: l.opts.Brief, Changes: l.opts.Changes, Roles: l.opts.Roles,
		}
		if err := w.tell(Instruction{ID: l.asked, Tell: tellConnect, Connect: plan}); err != nil {
			return 0, err
		}
		first += share
	}
	replies, err := l.answers(ctx, progress)
	if err != nil {
		return 0, fmt.Errorf("connecting %d clients (%d are): %w", l.opts.Clients, l.Connected(), err)
	}
	if n := connected(replies); n != l.opts.Clients {
		return 0, fmt.Errorf("connecting %d clients: only %d are", l.opts.Clients, n)
	}
	return time.Duration(Now() - began), nil
}

func connected(replies []reply) (n int) {
	for _, r := range replies {
		n += r.Connected
	}
	return n
}

// answers waits for the replies of all workers.
func (l *Load) answers(ctx context.Context, progress func(int)) (replies []reply, err error) {
	for _, w := range l.workers {
		r, err := l.answer(ctx, w, progress)
		if err != nil {
			return nil, err
		}
		replies = append(replies, r)
	}
	return replies, nil
}

func (l *Load) answer(ctx context.Context, w *workerProcess, progress func(int)) (reply, error) {
	for {
		select {
		case r, ok := <-w.replies:
			if !ok {
				return reply{}, w.failure(errors.New("no answer"))
			}
			if r.ID != l.asked {
				continue // to a question that was given up
			}
			if r.Error != "" {
				return r, errors.New(r.Error)
			}
			return r, nil
		case <-l.changed:
			if progress != nil {
				progress(l.Connected())
			}
		case <-ctx.Done():
			return reply{}, ctx.Err()
		}
	}
}

// Tell has all workers do something, and returns how many clients are connected then.
// progress is called when there is some; it may be nil.
func (l *Load) Tell(ctx context.Context, i Instruction, progress func(connected int)) (int, error) {
	replies, err := l.ask(ctx, i, progress)
	return connected(replies), err
}

func (l *Load) ask(ctx context.Context, i Instruction, progress func(connected int)) ([]reply, error) {
	l.asked++
	i.ID = l.asked
	if i.Tell == TellChurn || i.Tell == TellReturn {
		i.Rate /= float64(len(l.workers))
	}
	i.Pending /= len(l.workers)
	for _, w := range l.workers {
		if err := w.tell(i); err != nil {
			return nil, err
		}
	}
	return l.answers(ctx, progress)
}

// Finish ends a phase in which the messages below end were published, and returns what the
// clients have seen, with the histograms of deliveries and of upgrades, or with relays of
// how late they were sent.
func (l *Load) Finish(end uint64) (total Report, deliveries, second *hdrhistogram.Histogram, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), runner.ControlPatience)
	defer cancel()
	replies, err := l.ask(ctx, Instruction{Tell: tellFinish, End: end}, nil)
	if err != nil {
		return Report{}, nil, nil, err
	}
	deliveries, second = NewHistogram(), NewHistogram()
	for _, r := range replies {
		total.add(r.Report)
		if err = merge(deliveries, r.Report.Latency); err == nil {
			err = merge(second, r.Report.Upgrades)
		}
		if err != nil {
			return Report{}, nil, nil, fmt.Errorf("adding up reports: %w", err)
		}
	}
	return total, deliveries, second, nil
}

// Close ends the workers, and so their connections.
func (l *Load) Close() {
	for _, w := range l.workers {
		w.close()
	}
}

// Alive is an error when a worker has ended.
func (l *Load) Alive() error {
	for _, w := range l.workers {
		if w.ended.Load() {
			return w.failure(errors.New("its progress has ended"))
		}
	}
	return nil
}
