package bench

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// loopsRun measures servers at the same time, and returns how long it took the slowest.
func loopsRun(ctx context.Context, servers []FanoutOptions) (seconds float64, err error) {
	running := make([]*loopsServer, len(servers))
	for i := range servers {
		o := &servers[i]
		s, err := startSession(ctx, o.Options)
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, s.close()) }()
		if err := s.connectAll(ctx); err != nil {
			return 0, err
		}
		running[i] = &loopsServer{session: s, publisher: s.publisher(o.mixture()), messages: o.Messages}
		if err := s.warmUp(ctx, running[i].publisher, o); err != nil {
			return 0, err
		}
	}
	took, err := whileStopped(ctx, running)
	if err != nil {
		return 0, err
	}
	for _, r := range running {
		if err := r.check(ctx); err != nil {
			return 0, err
		}
	}
	return took.Seconds(), nil
}

// loopsServer is a server whose clients are connected. Owned by one goroutine at a time.
type loopsServer struct {
	*session
	publisher *publisher
	messages  int
	due       int64 // deliveries when it has sent what was published
}

// check has the clients read what they were sent.
func (r *loopsServer) check(ctx context.Context) error {
	if err := r.publisher.drain(ctx); err != nil {
		return err
	}
	report, _, _, err := r.load.Finish(ctx, r.publisher.next)
	if err == nil && report.Any() {
		err = fmt.Errorf("of %d clients: %s; %s%s", r.opts.Load.Clients, report.Faults, report.Error, r.server.errors.suffix())
	}
	return err
}

// whileStopped has messages go out one at a time, to the clients of all servers at once, each
// when the servers say that they have sent the one before it, and no worker runs meanwhile.
func whileStopped(ctx context.Context, running []*loopsServer) (time.Duration, error) {
	for _, r := range running {
		if err := r.load.signal(syscall.SIGSTOP); err != nil {
			return 0, err
		}
		defer func() { _ = r.load.signal(syscall.SIGCONT) }()
		before, err := r.server.control.Stats()
		if err != nil {
			return 0, err
		}
		r.due = before.Deliveries
	}
	first := running[0]
	failed := make(chan error, len(running))
	began := now()
	for i := range first.messages {
		for _, r := range running {
			go func() { failed <- r.deliver(ctx) }()
		}
		var err error
		for range running {
			err = errors.Join(err, <-failed)
		}
		if err != nil {
			return 0, err
		}
		first.opts.Progress("measuring", int64(i+1), int64(first.messages))
	}
	return time.Duration(now() - began), nil
}

// deliver publishes a message and waits until the server has sent it.
func (r *loopsServer) deliver(ctx context.Context) error {
	r.publisher.stamp(now())
	if err := r.server.control.flush(); err != nil {
		return err
	}
	r.due += int64(r.opts.Load.Clients)
	return r.awaitSent(ctx, r.due)
}

// awaitSent asks the server every 200 µs how many deliveries it has made; a message takes
// it many milliseconds.
func (s *session) awaitSent(ctx context.Context, deliveries int64) error {
	end := now() + int64(s.opts.Stall)
	for {
		stats, err := s.server.control.Stats()
		switch {
		case err != nil:
			return err
		case stats.Deliveries >= deliveries:
			return nil
		case now() > end:
			return fmt.Errorf("%w: %d of %d deliveries are with the kernel", ErrStalled, stats.Deliveries, deliveries)
		}
		if err := pause(ctx, now()+int64(200*time.Microsecond)); err != nil {
			return err
		}
	}
}

// signal sends a signal to every worker.
func (l *Load) signal(sig syscall.Signal) error {
	for _, w := range l.workers {
		if err := w.cmd.Process.Signal(sig); err != nil {
			return fmt.Errorf("sending %v to a worker: %w", sig, err)
		}
	}
	return nil
}
