package proof

import (
	"context"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"
)

// pause stops the process for longer than pings, slow clients and handshakes are given. None of
// the clients has done anything wrong, so none may be ended for it.
func (o *ChaosOptions) pause(ctx context.Context, r *Record) error {
	quiet := max(time.Second, o.Pause/3)
	return o.onStage(ctx, nil, func(ctx context.Context, s *stage) error {
		var failures atomic.Int64
		stop := s.load(ctx, o.Rate, &failures, changes, presence, broadcasts)
		defer func() { _ = stop() }()
		pause(ctx, o.Load)
		if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			return fmt.Errorf("SIGSTOP: %w", err)
		}
		late := make([]error, min(o.Clients, 10)) // that come meanwhile
		arrived := make(chan int, len(late))
		for i := range late {
			go func() {
				p, err := s.connect(ctx, s.slots[i], 0, 0)
				if err == nil {
					err = p.settle()
					p.gone()
				}
				late[i] = err
				arrived <- i
			}()
		}
		pause(ctx, o.Pause)
		resumed := time.Now()
		if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			return fmt.Errorf("SIGCONT: %w", err)
		}
		for range late {
			if i := <-arrived; late[i] != nil {
				return fmt.Errorf("a client that came meanwhile: %w", late[i])
			}
		}
		pause(ctx, o.Load)
		if err := stop(); err != nil {
			return err
		}
		if err := s.alive(ctx); err != nil {
			return err
		}
		r.fact("stopped for %v, with pings after %v and as long for a pong: none of %d clients lost its connection or a message", o.Pause, quiet, o.Clients)
		// A call whose connection was idle for the API's timeout when the process woke is refused
		// by the kernel; its caller knows, and an op_id makes trying again safe.
		r.fact("%d clients that came meanwhile were let in; %d calls of the API ended with an error; all was there %v after SIGCONT", len(late), failures.Load(), time.Since(resumed).Round(time.Millisecond))
		return nil
	}, "-ping-interval", quiet.String(), "-pong-timeout", quiet.String())
}
