package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// SuiteOptions say what the comparison of everything is like.
type SuiteOptions struct {
	Options // without Target; Load.Clients is for the fan-outs
	// Targets are measured in everything. The first one is what it is all about: a suite
	// without it can't be shown.
	Targets []Target
	// Slow are targets that would need hours for the others' load. They and the first of
	// Targets get one with SlowClients clients, one message at a time.
	Slow        []Target
	SlowClients int // default 64
	Size        int // of payloads in bytes. Default 128
	Window      int // of the second fan-out. Default 64
	Rounds      int // of the fan-outs; of the rest no more than connectionRounds
	Duration    time.Duration
	WarmUp      time.Duration
	Connections int // clients for memory and handshakes
	Settle      time.Duration
	// Within bounds the time of it all: what isn't there then is left out. 0: no bound.
	Within time.Duration
}

// connectionRounds is enough for figures that hardly differ from round to round.
const connectionRounds = 3

// slowStall is how long a slow target may take for a message.
const slowStall = 2 * time.Minute

// Suite is the comparison of everything: what README shows.
type Suite struct {
	Machine     Machine          `json:"machine"`
	Command     string           `json:"command,omitempty"` // the command line, set by the caller
	Own         string           `json:"own"`               // the target that it is all about
	Clients     int              `json:"clients"`           // of both fan-outs
	Size        int              `json:"size"`
	Window      int              `json:"window"` // of the second
	Single      *Comparison      `json:"one_at_a_time"`
	Windowed    *Comparison      `json:"in_flight"`
	Connections *ConnectionCosts `json:"connections"`
	Slow        *Comparison      `json:"slow,omitempty"`
	SlowIdle    *ConnectionCosts `json:"slow_connections,omitempty"`
	Interrupted bool             `json:"interrupted,omitempty"`
}

func (o *SuiteOptions) defaults() {
	o.Options.defaults()
	if o.SlowClients == 0 {
		o.SlowClients = 64
	}
	if o.Size == 0 {
		o.Size = 128
	}
	if o.Window == 0 {
		o.Window = 64
	}
	if o.Settle == 0 {
		o.Settle = 3 * time.Second
	}
}

func (o *SuiteOptions) validate() error {
	f := o.fanout(o.Window)
	switch {
	case len(o.Targets) == 0 || o.Rounds < 1 || o.Connections < 1:
		return fmt.Errorf("%w: %d targets, %d rounds, %d connections: at least 1", ErrOptions, len(o.Targets), o.Rounds, o.Connections)
	case o.Window < 2:
		return fmt.Errorf("%w: window: %d messages; at least 2, because one at a time is measured anyway", ErrOptions, o.Window)
	case o.Within > 0 && o.estimate() > o.Within:
		return fmt.Errorf("%w: it would take about %v, and has %v; fewer rounds, a shorter duration or more time",
			ErrOptions, o.estimate().Round(time.Second), o.Within)
	}
	return f.validate()
}

// Plan checks the options, fills in defaults, and says about how long it will take.
func (o *SuiteOptions) Plan() (time.Duration, error) {
	o.defaults()
	return o.estimate(), o.validate()
}

// estimate is for a machine that takes 2,500 connections a second.
func (o *SuiteOptions) estimate() time.Duration {
	const start, connect = 1500 * time.Millisecond, 400 * time.Microsecond
	few := min(o.Rounds, connectionRounds)
	fanout := start + o.WarmUp + o.Duration + time.Duration(o.Load.Clients)*connect
	connections := o.Settle + 2*(start+time.Duration(o.Connections)*connect)
	total := time.Duration(len(o.Targets)) * (time.Duration(2*o.Rounds)*fanout + time.Duration(few)*connections)
	if len(o.Slow) > 0 {
		message := time.Duration(o.SlowClients) * 20 * time.Millisecond
		slow := start + max(o.Duration, message) + 2*message
		total += time.Duration(few*(1+len(o.Slow)))*slow + time.Duration(len(o.Slow))*(2*start+o.Settle+message)
	}
	return total
}

func (o *SuiteOptions) fanout(window int) FanoutOptions {
	return FanoutOptions{Options: o.Options, Size: o.Size, Window: window, Duration: o.Duration, WarmUp: o.WarmUp}
}

// RunSuite measures everything. When ctx ends the suite is of what there was.
func RunSuite(ctx context.Context, o SuiteOptions) (*Suite, error) {
	if _, err := o.Plan(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if o.Within > 0 {
		defer time.AfterFunc(o.Within, cancel).Stop() // not a deadline: it is to end like Ctrl-C
	}
	s := &Suite{Machine: ThisMachine(), Own: o.Targets[0].Name, Clients: o.Load.Clients, Size: o.Size, Window: o.Window}
	var err error
	if s.Single, err = o.compare(ctx, "one at a time", 1); err != nil {
		return nil, err
	}
	if s.Windowed, err = o.compare(ctx, fmt.Sprintf("%d in flight", o.Window), o.Window); err != nil {
		return nil, err
	}
	idle := IdleOptions{Options: o.Options, Settle: o.Settle}
	idle.Load.Clients = o.Connections
	s.Connections = measureConnections(ctx, idle, o.Targets, min(o.Rounds, connectionRounds))
	if len(o.Slow) > 0 {
		err = s.slow(ctx, &o)
	}
	s.Interrupted = ctx.Err() != nil
	return s, err
}

func (o *SuiteOptions) compare(ctx context.Context, name string, window int) (*Comparison, error) {
	f := o.fanout(window)
	f.Progress = func(phase string, done, of int64) { o.Progress(name+", "+phase, done, of) }
	return Compare(ctx, CompareOptions{FanoutOptions: f, Targets: o.Targets, Rounds: o.Rounds})
}

func (s *Suite) slow(ctx context.Context, o *SuiteOptions) error {
	f := o.fanout(1)
	f.WarmUp, f.Stall, f.Load.Clients = 0, slowStall, o.SlowClients
	f.Progress = func(phase string, done, of int64) { o.Progress("slow, "+phase, done, of) }
	targets := append(slices.Clone(o.Targets[:1]), o.Slow...)
	var err error
	s.Slow, err = Compare(ctx, CompareOptions{FanoutOptions: f, Targets: targets, Rounds: min(o.Rounds, connectionRounds), Base: s.Own})
	idle := IdleOptions{Options: f.Options, Settle: o.Settle}
	s.SlowIdle = measureConnections(ctx, idle, o.Slow, 1)
	return err
}

// ErrIncomplete: a suite lacks what can't be left out when it is shown.
var ErrIncomplete = errors.New("incomplete")

// Complete is an error unless the suite ran to its end, and each round of the target that
// it is all about, and of those that others are divided by, counts. What became of the
// others is part of the result.
func (s *Suite) Complete() error {
	if s.Interrupted {
		return fmt.Errorf("%w: it was interrupted", ErrIncomplete)
	}
	for _, c := range []*Comparison{s.Single, s.Windowed} {
		for _, t := range c.Summary {
			if t.Failures > 0 && (t.Target == s.Own || t.Target == c.Base) {
				return fmt.Errorf("%w: %d rounds of %s failed", ErrIncomplete, t.Failures, t.Target)
			}
		}
	}
	if n := s.Connections.of(s.Own).Failures; n > 0 {
		return fmt.Errorf("%w: %d rounds of memory and handshakes of %s failed", ErrIncomplete, n, s.Own)
	}
	return nil
}

// Where is the machine that everything was measured on.
func (s *Suite) Where() Machine { return s.Machine }
