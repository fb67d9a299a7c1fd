package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// LoadOptions say who connects to a server, and from where.
type LoadOptions struct {
	// Worker is the command that calls RunWorker. Required.
	Worker []string
	// Workers is how many processes hold the clients; 0: as many as descriptors ask for,
	// and at least one for each core of Cores.
	Workers int
	Clients int           // connections; at least 1
	Pace    int           // connections that may be under way at once, of each worker; default 128
	Token   string        // bearer token of every client, or empty
	Stall   time.Duration // without any progress; ends connecting. Default 10 s
	Cores   []int         // that workers run on; empty: any
	// Namespace puts the workers into a network namespace of their own, with a veth pair
	// between them and the server. It needs root, and the program ip of iproute2.
	Namespace bool

	roles roles // what clients do beside reading
	brief bool  // they leave as soon as they are connected
}

// Load is the worker processes and their clients. Owned by one goroutine, but for Done and
// Connected.
type Load struct {
	opts    LoadOptions
	workers []*workerProcess
	apart   *namespace    // that workers are in; nil: this one
	changed chan struct{} // has a value when there is progress
	asked   uint64        // id of the last instruction
}

// StartLoad starts worker processes beside the server; it connects nobody yet.
func StartLoad(o LoadOptions) (*Load, error) { return startLoad(o, nil) }

// startLoad starts worker processes in a namespace; it connects nobody yet.
func startLoad(o LoadOptions, apart *namespace) (*Load, error) {
	if o.Clients < 1 || len(o.Worker) == 0 {
		return nil, fmt.Errorf("load: %d clients, worker %q: at least 1 and a command", o.Clients, o.Worker)
	}
	if o.Pace == 0 {
		o.Pace = 128
	}
	if o.Stall == 0 {
		o.Stall = defaultStall
	}
	limit, err := raiseDescriptors()
	if err != nil {
		return nil, err
	}
	if o.roles.Churn {
		limit -= 2 * o.Pace // those who come before others have left
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
	if o.roles != (roles{}) {
		o.Workers = max(min(o.Workers, o.Clients/clientsPerWorker), 1)
	}
	l := &Load{opts: o, apart: apart, changed: make(chan struct{}, 1)}
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

// Workers is how many worker processes there are.
func (l *Load) Workers() int { return len(l.workers) }

func (l *Load) pids() (pids []int) {
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

// Connected is how many clients were connected when last heard of.
func (l *Load) Connected() int {
	n := uint64(0)
	for _, w := range l.workers {
		n += w.connected.Load()
	}
	return int(n)
}

// answer waits for a worker's reply.
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

// Run says that messages from now on have size bytes, and that the latencies of those
// from number from on are recorded.
func (l *Load) Run(ctx context.Context, size int, from uint64) error {
	return l.run(ctx, Mixture{{Size: size, Weight: 1}}, from)
}

func (l *Load) run(ctx context.Context, sizes Mixture, from uint64) error {
	_, err := l.ask(ctx, instruction{Tell: tellRun, Sizes: sizes, From: from})
	return err
}

// Finish ends a run in which the messages below end were published, and returns what the
// clients have seen, with the histograms of deliveries and upgrades.
func (l *Load) Finish(ctx context.Context, end uint64) (total Report, latency, upgrades *hdrhistogram.Histogram, err error) {
	return l.reports(ctx, instruction{Tell: tellFinish, End: end})
}

func (l *Load) ask(ctx context.Context, i instruction) ([]reply, error) {
	return l.askWatching(ctx, i, nil)
}

// askWatching is ask for what takes a while: progress is called when there is some.
func (l *Load) askWatching(ctx context.Context, i instruction, progress func(connected int)) ([]reply, error) {
	l.asked++
	i.ID = l.asked
	for _, w := range l.workers {
		if err := w.tell(i); err != nil {
			return nil, err
		}
	}
	var replies []reply
	for _, w := range l.workers {
		r, err := l.answer(ctx, w, progress)
		if err != nil {
			return nil, err
		}
		replies = append(replies, r)
	}
	return replies, nil
}

// Close ends the workers, and so their connections.
func (l *Load) Close() {
	for _, w := range l.workers {
		w.close()
	}
}

// alive is an error when a worker has ended.
func (l *Load) alive() error {
	for _, w := range l.workers {
		if w.ended.Load() {
			return w.failure(errors.New("its progress has ended"))
		}
	}
	return nil
}
