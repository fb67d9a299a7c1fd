package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// IdleOptions say how long idle connections are left alone before memory is looked at.
type IdleOptions struct {
	Options
	// Settle is the time between connecting and measuring. Default 3 s: what a server
	// gives back by itself, it should have given back.
	Settle time.Duration
	// Measured is called with the result while the connections still stand: ending a million
	// of them takes minutes. It may be nil.
	Measured func(*IdleResult)
}

// IdleResult is what connections cost while nothing is sent; bytes.
type IdleResult struct {
	Target   string  `json:"target"`
	Clients  int     `json:"clients"`
	Workers  int     `json:"workers"`
	Connect  float64 `json:"connect_seconds"`               // until all were
	Before   Memory  `json:"before"`                        // the server alone
	Idle     Memory  `json:"idle"`                          // with all connections
	Sent     Memory  `json:"broadcast"`                     // after a message to all of them; without a Source: none went out, or Ctrl-C ended the wait
	User     float64 `json:"user_per_connection"`           // growth of Resident
	UserSent float64 `json:"user_per_connection_broadcast"` // the same after the message, 0 without one
	Slab     float64 `json:"kernel_slab_per_connection"`    // of both ends
	Buffers  float64 `json:"kernel_buffers_per_connection"` // of both ends

	Delivery Latency `json:"delivery"` // of the message, to those who had it

	Report Report `json:"report"`
	Failed string `json:"failed,omitempty"`

	Interrupted bool `json:"interrupted,omitempty"` // before it had settled, or all had the message
}

// Idle measures the memory of connections that do nothing, and whether a message reaches
// all of them.
func Idle(ctx context.Context, o IdleOptions) (*IdleResult, error) {
	o.defaults()
	if o.Settle == 0 {
		o.Settle = 3 * time.Second
	}
	if o.Settle < 0 {
		return nil, fmt.Errorf("%w: settle: %v can't be negative", ErrOptions, o.Settle)
	}
	s, err := startSession(ctx, o.Options)
	if err != nil {
		return nil, err
	}
	r, err := s.idle(ctx, &o)
	if err == nil && o.Measured != nil {
		o.Measured(r)
	}
	if closing := s.close(); closing != nil && err == nil && r.Failed == "" {
		r.Failed = closing.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("idle, %s: %w%s", o.Target.Name, err, s.server.errors.suffix())
	}
	return r, nil
}

func (s *session) idle(ctx context.Context, o *IdleOptions) (*IdleResult, error) {
	r := &IdleResult{Target: o.Target.Name, Clients: o.Load.Clients, Workers: s.load.Workers()}
	var err error
	if r.Before, err = readMemory(s.server.pid()); err != nil {
		return nil, err
	}
	if err = s.connectAll(ctx); err != nil {
		return nil, err
	}
	r.Connect = s.connect.Seconds()
	o.Progress("settling", 0, 0)
	// Ctrl-C ends the wait: what there is then is looked at.
	r.Interrupted = pause(ctx, now()+int64(o.Settle)) != nil
	if r.Idle, err = readMemory(s.server.pid()); err != nil {
		return nil, err
	}
	n := float64(r.Clients)
	r.User = float64(r.Idle.minus(r.Before).Resident) / n
	r.Slab = float64(r.Idle.minus(r.Before).Slab) / n
	r.Buffers = float64(r.Idle.minus(r.Before).SocketBuffers) / n
	if r.Interrupted {
		return r, nil
	}
	return r, s.idleBroadcast(ctx, o, r)
}

// idleBroadcast sends one message to all and completes the result. Ctrl-C ends the wait for
// it: a million may take a while.
func (s *session) idleBroadcast(ctx context.Context, o *IdleOptions, r *IdleResult) error {
	o.Progress("one message to all", 0, 0)
	p := s.publisher(Mixture{{Size: 128, Weight: 1}})
	if err := s.load.run(context.WithoutCancel(ctx), p.sizes, 0); err != nil {
		return err
	}
	trouble := p.publishWindow(ctx, 1, limit{messages: 1})
	end := p.next
	if r.Interrupted = errors.Is(trouble, context.Canceled); r.Interrupted {
		end = s.load.Done() // what is still on its way isn't lost
	}
	var err error
	if r.Sent, err = readMemory(s.server.pid()); err != nil {
		return err
	}
	if r.Report, r.Delivery, err = s.books(end); err != nil {
		return err
	}
	if r.Interrupted {
		r.Sent = Memory{} // of a message that some have
	} else {
		r.UserSent = float64(r.Sent.minus(r.Before).Resident) / float64(r.Clients)
	}
	switch {
	case r.Report.Any():
		r.Failed = fmt.Sprintf("of %d clients: %s; %s", r.Clients, r.Report.Faults, r.Report.Error)
	case r.Interrupted:
	case trouble != nil:
		r.Failed = trouble.Error()
	case r.Report.Deliveries != uint64(r.Clients):
		r.Failed = fmt.Sprintf("%d of %d clients got the message", r.Report.Deliveries, r.Clients)
	}
	r.Failed = s.explained(r.Failed) // here, because it is printed before the connections are ended
	return nil
}

// broadcast is whether a message went out and was waited for to the end.
func (r *IdleResult) broadcast() bool { return r.Sent.Source != "" }

// books closes a run and returns what the clients have seen, and the latencies.
func (s *session) books(end uint64) (Report, Latency, error) {
	ctx, cancel := context.WithTimeout(context.Background(), controlPatience)
	defer cancel()
	report, latency, _, err := s.load.Finish(ctx, end)
	if err != nil {
		return Report{}, Latency{}, err
	}
	report.Latency, report.Upgrades = nil, nil
	return report, latencyOf(latency), nil
}
