package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/busbar-ws/busbar/bench/loadgen"
	"github.com/busbar-ws/busbar/bench/runner"
)

// session is one run: a server, its clients, and what they show. Owned by one goroutine.
type session struct {
	*Profile
	r      *Result
	apart  *runner.Namespace // of the workers; nil: this one
	server *runner.Server
	load   *loadgen.Load
	meter  *runner.Meter
	alone  runner.Memory // the server without clients
	counts bool          // the server has counted every delivery so far
	probes uint64        // deliveries of what only asked whether a client is there
}

// Run measures a profile once. A result with Failures is of a run in which something was lost,
// repeated, out of order or stalled; an error means that there is no result. When ctx ends the
// result is of what there was.
func Run(ctx context.Context, p Profile) (*Result, error) {
	if err := p.validate(); err != nil {
		return nil, err
	}
	s, err := start(ctx, &p)
	if err != nil {
		return nil, err
	}
	err = s.run(ctx)
	if closing := s.close(); closing != nil && err == nil && len(s.r.Failures) == 0 {
		s.r.fail(closing.Error())
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w%s", p.Target.Name, err, s.server.Said())
	}
	return s.r, nil
}

// start starts the server and threads for clients, and connects nobody. What it returns must be closed.
func start(ctx context.Context, p *Profile) (s *session, err error) {
	s = &session{Profile: p, r: &Result{Name: p.Target.Name, Profile: *p, Rounds: 1}, counts: p.Target.Address == ""}
	if p.Netns {
		if s.apart, err = runner.OpenNamespace(loadgen.SourcesFor(p.Clients)); err != nil {
			return nil, err
		}
	}
	if s.server, err = runner.Start(ctx, p.Target, p.ServerCores, s.apart.Host()); err != nil {
		return nil, errors.Join(err, s.apart.Close())
	}
	if s.load, err = loadgen.Start(s.clients(), s.apart); err != nil {
		_ = s.server.Stop(0)
		return nil, errors.Join(err, s.apart.Close())
	}
	s.meter = runner.NewMeter(s.server.PID(), p.ServerCores)
	s.r.Profile.Workers = s.load.Workers()
	return s, nil
}

func (p *Profile) clients() loadgen.Options {
	workers := p.Workers
	if workers == 0 {
		workers = len(p.LoadCores)
	}
	_, path, _ := strings.Cut(p.Target.Address, "/")
	return loadgen.Options{Workers: workers, Clients: p.Clients, Pace: p.Pace, Token: p.Token, Stall: p.Stall, Roles: p.roles(),
		Path: path, Protocol: p.Target.Protocol}
}

// close ends the connections, the server, and the network between them.
func (s *session) close() error {
	s.load.Close()
	return errors.Join(s.server.Stop(s.Clients), s.apart.Close())
}

// run connects everyone, without whom there is nothing to show, and measures all that the profile
// has. To measure something else, add a part to Profile and a case here.
func (s *session) run(ctx context.Context) error {
	if err := s.connect(ctx); err != nil {
		return err
	}
	trouble := s.settle(ctx)
	if trouble == nil {
		switch {
		case s.Rows > 0:
			trouble = s.rows(ctx)
		case s.Senders > 0:
			trouble = s.relays(ctx)
		default:
			trouble = s.fanout(ctx)
		}
	}
	s.judge(trouble)
	return nil
}

// judge decides whether the run counts: not with a fault of what clients got, nor with trouble.
func (s *session) judge(trouble error) {
	r := s.r
	r.Interrupted = errors.Is(trouble, context.Canceled)
	switch {
	case len(r.Failures) > 0:
	case r.Faults.Any():
		r.fail(fmt.Sprintf("of %d clients: %v", s.Clients, r.Faults))
	case trouble != nil && !r.Interrupted:
		r.fail(trouble.Error())
	}
	if len(r.Failures) > 0 {
		r.Rounds = 0
		r.Failures[0] += s.server.Said()
	}
}

// seen notes what the clients have had until now.
func (s *session) seen(report *loadgen.Report) {
	s.r.Faults = report.Faults
	if report.Faults.Any() && report.Error != "" && len(s.r.Failures) == 0 {
		s.r.fail(fmt.Sprintf("of %d clients: %v; %s", s.Clients, report.Faults, report.Error))
	}
}

// connect connects all clients, and waits until the server counts them.
func (s *session) connect(ctx context.Context) (err error) {
	stats, err := s.server.Control.Stats()
	if err == nil && s.Rows > 0 {
		err = stats.Requires(s.Target.Name, runner.TakesRows, runner.TakesClients)
	}
	if err == nil && s.Senders > 0 {
		err = stats.Requires(s.Target.Name, runner.TakesPresence)
	}
	if err != nil {
		return err
	}
	if s.alone, err = runner.ReadMemory(s.server.PID()); err != nil {
		return err
	}
	before, err := s.measure(0)
	if err != nil {
		return err
	}
	took, err := s.load.Connect(ctx, s.server.Address, func() { s.Progress("connecting", int64(s.load.Connected()), int64(s.Clients)) })
	if err != nil {
		return err
	}
	if err = s.awaitClients(ctx, s.Clients); err != nil {
		return err
	}
	after, err := s.measure(0)
	s.r.add("connects_per_second", PerSecond, float64(s.Clients)/took.Seconds())
	s.r.add("cpu_per_handshake", Nanoseconds, float64(after.cpu.Minus(before.cpu).Server())/float64(s.Clients))
	return err
}

// awaitClients waits until the server counts so many clients. One that doesn't count them is sent a
// probe, and another one when no more clients get it, until all have.
func (s *session) awaitClients(ctx context.Context, clients int) error {
	if s.Target.Address == "" {
		return s.server.AwaitClients(ctx, clients)
	}
	for began, got, quiet := loadgen.Now(), uint64(0), true; got < uint64(clients); {
		if quiet {
			got = 0
			if err := s.server.Control.Probe(); err != nil {
				return err
			}
		}
		report, _, _, err := s.load.Finish(0)
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		more := report.Texts - s.probes
		got, quiet, s.probes = got+more, more == 0, report.Texts
		if loadgen.Now()-began > int64(s.Stall) {
			return fmt.Errorf("%w: what a client sends came to %d of %d clients", loadgen.ErrStalled, got, clients)
		}
	}
	return nil
}

// settle looks at the memory of connections that have been left alone for a while. Ctrl-C ends the
// wait: what there is then is looked at.
func (s *session) settle(ctx context.Context) error {
	if s.Settle == 0 {
		return nil
	}
	s.Progress("settling", 0, 0)
	waiting := loadgen.Pause(ctx, loadgen.Now()+int64(s.Settle))
	m, err := runner.ReadMemory(s.server.PID())
	if err != nil {
		return err
	}
	grown, n := m.Minus(s.alone), float64(s.Clients)
	s.r.add("user_memory_per_connection", Bytes, float64(grown.Resident)/n)
	if kernel := grown.Slab + grown.SocketBuffers; kernel > 0 { // else other work of the machine hides it
		s.r.add("kernel_memory_per_connection", Bytes, float64(kernel)/n)
	}
	return waiting
}

// moment is all that is measured of a server, at one time.
type moment struct {
	at    int64
	cpu   runner.CPU
	stats runner.ServerStats
}

// countPatience bounds the wait for a server to count what its clients have already.
const countPatience = 250 * time.Millisecond

// measure looks at the server when it is through with so many deliveries since its start: the
// clients may have the last one before the server has counted it and gone to rest. A server that
// counts otherwise is waited for once, so that asking isn't what is measured.
func (s *session) measure(due uint64) (moment, error) {
	began := loadgen.Now()
	for {
		stats, err := s.server.Control.Stats()
		if err != nil {
			return moment{}, err
		}
		late := loadgen.Now()-began > int64(countPatience)
		if stats.Deliveries != int64(due) && s.counts && !late {
			loadgen.SleepUntil(loadgen.Now() + int64(time.Millisecond))
			continue
		}
		s.counts = stats.Deliveries == int64(due)
		cpu, err := s.meter.Read()
		return moment{at: loadgen.Now(), cpu: cpu, stats: stats}, err
	}
}

// cost notes what the deliveries of a phase took.
func (r *Result) cost(prefix string, sp interval, deliveries uint64) {
	if deliveries == 0 {
		return
	}
	before, after, n := sp.before, sp.after, float64(deliveries)
	cpu := after.cpu.Minus(before.cpu)
	each := func(name string, ns float64) { r.add(prefix+name+"cpu_per_delivery", Nanoseconds, ns/n) }
	each("", float64(cpu.Server()))
	if coarse := float64(cpu.User + cpu.System); coarse > 0 { // in hundredths of a second: good for a share
		each("user_", float64(cpu.Process)*float64(cpu.User)/coarse)
		each("kernel_", float64(cpu.Process)*float64(cpu.System)/coarse)
	}
	each("ksoftirqd_", float64(cpu.Ksoftirqd))
	each("machine_", float64(cpu.Machine))
	each("load_", float64(cpu.Load))
	if after.stats.Sends >= 0 {
		r.add(prefix+"sends_per_delivery", PerOne, float64(after.stats.Sends-before.stats.Sends)/n)
	}
	r.add(prefix+"deliveries_per_second", PerSecond, n/(float64(after.at-before.at)/1e9))
	r.count(prefix+"deliveries", deliveries)
}

// interval is a measured phase: the server before and after, and how many messages were published.
type interval struct {
	before, after moment
	messages      uint64
}

// measured warms up, and looks at the server before and after publish. due is what the server has
// delivered so far, and each message goes to so many clients.
func (s *session) measured(ctx context.Context, p *loadgen.Publisher, due, each uint64, publish func() error) (sp interval, trouble, err error) {
	trouble = s.warmUp(ctx, p)
	s.unblock(trouble)
	first := p.Next
	if sp.before, err = s.measure(due + first*each); err != nil {
		return sp, trouble, err
	}
	if trouble == nil {
		p.Late.Reset()
		trouble = publish()
		s.unblock(trouble)
	}
	s.counts = s.counts && s.Churn == 0
	sp.after, err = s.measure(due + p.Next*each)
	sp.messages = p.Next - first
	return sp, trouble, err
}

// warmUp publishes messages that aren't measured, and has the clients record from there on.
func (s *session) warmUp(ctx context.Context, p *loadgen.Publisher) error {
	if s.WarmUp > 0 {
		if err := s.record(ctx, p, ^uint64(0)); err != nil {
			return err
		}
		if err := s.phase(ctx, p, loadgen.Limit{Duration: s.WarmUp}, "warming up"); err != nil {
			return err
		}
	}
	return s.record(ctx, p, p.Next)
}

// record has the clients expect messages of a publisher, and note latencies from one on.
func (s *session) record(ctx context.Context, p *loadgen.Publisher, from uint64) error {
	return s.load.Record(context.WithoutCancel(ctx), p.Sizes, from)
}

// interruptedPatience bounds the wait for messages that are on their way after Ctrl-C.
const interruptedPatience = 3 * time.Second

// phase publishes until a limit is reached and waits until everything has arrived.
func (s *session) phase(ctx context.Context, p *loadgen.Publisher, until loadgen.Limit, name string) error {
	first, began := p.Next, loadgen.Now()
	p.Progress = func(done uint64) {
		if until.Messages > 0 {
			s.Progress(name, int64(done-first), int64(until.Messages))
		} else {
			s.Progress(name, min(loadgen.Now()-began, int64(until.Duration)), int64(until.Duration))
		}
	}
	p.Progress(p.Done())
	var err error
	if s.Rate > 0 {
		err = p.Rate(ctx, s.Rate, until)
	} else {
		err = p.Window(ctx, s.Window, until)
	}
	if ctx.Err() != nil {
		// What is on its way is waited for: then the books can be closed.
		rest, cancel := context.WithTimeout(context.WithoutCancel(ctx), interruptedPatience)
		defer cancel()
		if late := p.Drain(rest); !errors.Is(late, context.DeadlineExceeded) {
			err = errors.Join(err, late)
		}
		return errors.Join(ctx.Err(), err)
	}
	if err != nil && !errors.Is(err, loadgen.ErrRate) {
		return err
	}
	return errors.Join(err, p.Drain(ctx))
}

// end is the number of the first message that isn't waited for: after Ctrl-C what is still on its
// way isn't lost.
func (s *session) end(p *loadgen.Publisher, trouble error) uint64 {
	if errors.Is(trouble, context.Canceled) {
		return min(p.Done(), p.Next)
	}
	return p.Next
}
