package proof

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"syscall"
	"time"
)

// scenario is one way in which the world fails, under load and with clients; the outcome is compared afterwards. Either
// node after node is struck and mended, or it is played.
type scenario struct {
	name, what string
	layout     layout
	thirds     time.Duration // of Options.Pause that a node is away for
	strike     func(*stage, context.Context, *node) error
	mend       func(*stage, context.Context, *node) error
	play       func(*stage, context.Context) error
}

// The first node's data directory has room for the change log's WAL, which grows to 4 MiB, and for bodies of many changes.
var scenarios = slices.Concat([]scenario{
	{name: "kill", what: "kill -9 under load, and a new start", layout: layout{nodes: 1}, strike: (*stage).kill, mend: (*stage).start},
	{name: "power", what: "the power of the disk cut under load, and a new start", layout: layout{nodes: 1, powered: true}, strike: (*stage).cutPower, mend: (*stage).start},
	{name: "pause", what: "SIGSTOP, and SIGCONT much later", layout: layout{nodes: 1, quiet: true}, play: (*stage).pauseOnly},
	{name: "port", what: "the API flooded with connections", layout: layout{nodes: 1}, play: (*stage).flood},
	{name: "full", what: "no room in the data directory", layout: layout{nodes: 1, size: "32m"}, play: (*stage).fillDirectory},
	{name: "read-only", what: "the data directory is read-only", layout: layout{nodes: 1, size: "32m"}, play: (*stage).readOnly},
	{name: "lock", what: "another process holds the database's lock", layout: layout{nodes: 1}, play: (*stage).lock},
}, clusterScenarios("cluster-", "with NATS inside", false), clusterScenarios("nats-", "on a NATS cluster", true))

func clusterScenarios(prefix, where string, external bool) []scenario {
	all := []scenario{
		{name: "kill", what: "kill -9 of one node after the other", thirds: 1, strike: (*stage).kill, mend: (*stage).start},
		{name: "cut", what: "one node after the other cut off from the others", layout: layout{cabled: true}, thirds: 2, strike: link("down"), mend: link("up")},
		{name: "pause", what: "SIGSTOP of one node after the other", thirds: 3, strike: signal(syscall.SIGSTOP), mend: signal(syscall.SIGCONT)},
		{name: "full", what: "no room on one node's disk, and kill -9 of another one", layout: layout{size: "512m"}, thirds: 1, strike: (*stage).fillNode, mend: (*stage).emptyNode},
		{name: "restart", what: "a rolling restart, twice", layout: layout{rolling: true}, strike: stop, mend: (*stage).start},
	}
	for i := range all {
		s := &all[i]
		s.name, s.what = prefix+s.name, "three nodes "+where+": "+s.what
		s.layout.nodes, s.layout.external = clusterNodes, external
	}
	return all
}

// errAbsent is wrapped by errors of scenarios that this machine doesn't let happen.
var errAbsent = errors.New("it can't be played here")

// Chaos plays the scenarios one after another.
func Chaos(ctx context.Context, o Options) (*Result, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	r := &Result{}
	for i, s := range scenarios {
		if len(o.Only) > 0 && !slices.Contains(o.Only, s.name) {
			continue
		}
		o.Progress(s.name, int64(i), int64(len(scenarios)))
		run := &Run{Name: s.name, What: s.what}
		start := time.Now()
		err := o.play(ctx, s, run)
		run.Seconds = time.Since(start).Seconds()
		switch {
		case ctx.Err() != nil:
			return r, fmt.Errorf("interrupted in %s: %w", s.name, ctx.Err())
		case errors.Is(err, errAbsent):
			run.Absent, run.optional = err.Error(), errors.Is(err, errNoDisk) && len(o.Only) == 0
		default:
			run.wrong(err)
		}
		r.Runs = append(r.Runs, run)
	}
	return r.verdict(), nil
}

func (o *Options) play(ctx context.Context, sc scenario, r *Run) error {
	args, clients, rate := []string{"-max-per-ip", "0"}, 100, 1000.0
	if sc.layout.nodes > 1 {
		clients, rate = 12, 1500
	}
	if sc.layout.quiet { // patient with clients, but for less time than it is stopped
		quiet := max(time.Second, o.Pause/3).String()
		args = append(args, "-ping-interval", quiet, "-pong-timeout", quiet)
	}
	s, err := o.newStage(ctx, r, sc.layout, chaosBook(sc.layout), args...)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.startClients(ctx, cmp.Or(o.Clients, clients)); err != nil {
		return err
	}
	s.size = chaosSize
	loading, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := s.load(loading, cmp.Or(o.Rate, rate), nil)
	// Without a cursor, who comes again has nothing to ask for.
	err = s.await(ctx, "for a change", func(_ *client, a *account) bool { return a.seq > 0 })
	switch {
	case err != nil:
	case sc.play != nil:
		err = sc.play(s, ctx)
	default:
		err = s.inTurn(ctx, sc)
	}
	if err == nil {
		err = s.outcome(ctx, stop)
	}
	if err == nil {
		err = s.each((*node).stop)
	} else {
		cancel()
		err = errors.Join(err, stop())
	}
	if err != nil && !errors.Is(err, errAbsent) {
		return fmt.Errorf("%w%s", err, s.logs())
	}
	return err
}

// everything is what a healthy server delivers.
var everything = []kind{changes, rows, presence, topics, broadcasts}

// inTurn has each node fail under load, as often as there are rounds, and each of several once, or twice in a rolling
// restart, or the first two. A single one has to have its clients back after each round, and everything compared.
func (s *stage) inTurn(ctx context.Context, sc scenario) error {
	alone, rounds, lasts := len(s.nodes) == 1, s.o.Rounds, s.o.Pause*sc.thirds/3
	switch {
	case s.powered:
		rounds = max(1, rounds/5)
	case s.rolling:
		rounds = 2 * len(s.nodes)
	case s.layout.size != "":
		rounds = 2
	case !alone:
		rounds = min(rounds, len(s.nodes))
	}
	var ready, back time.Duration
	for round := range rounds {
		n := s.nodes[round%len(s.nodes)]
		s.o.Progress(s.run.Name, int64(round), int64(rounds))
		pause(ctx, s.o.Load/2+rand.N(s.o.Load+1)) //nolint:gosec // any moment will do
		n.away.Store(true)
		struck := time.Now()
		err := sc.strike(s, ctx, n)
		if err == nil {
			pause(ctx, lasts)
			mended := time.Now()
			err = sc.mend(s, ctx, n)
			if err == nil {
				err = n.awaitReady(ctx)
			}
			ready = max(ready, time.Since(mended))
		}
		n.away.Store(false)
		if err == nil && alone {
			err = s.alive(ctx, everything...)
			back = max(back, time.Since(struck))
			err = errors.Join(err, s.audit(ctx))
		}
		if err != nil {
			return fmt.Errorf("round %d: %w", round+1, err)
		}
	}
	pause(ctx, s.o.Load)
	s.run.fact("%d times, for %v each; ready again after %v at most", rounds, lasts, ready.Round(time.Millisecond))
	if alone {
		s.run.fact("all clients were back and had what is published within %v", back.Round(time.Millisecond))
	}
	return nil
}

func (s *stage) start(ctx context.Context, n *node) error { return n.start(ctx) }

func stop(_ *stage, _ context.Context, n *node) error { return n.stop() }

func signal(sig syscall.Signal) func(*stage, context.Context, *node) error {
	return func(_ *stage, _ context.Context, n *node) error { return n.signal(sig) }
}

// link cuts a node off, which nobody is told, or lets everything through again. Its clients stay where they are: they
// get what they missed when it can be reached again.
func link(state string) func(*stage, context.Context, *node) error {
	return func(s *stage, _ context.Context, n *node) error {
		return s.cables.join("link set node%d %s\n", slices.Index(s.nodes, n), state)
	}
}

func (s *stage) kill(_ context.Context, n *node) error { return s.crash(n, n.kill) }

func (s *stage) cutPower(ctx context.Context, n *node) error {
	return s.crash(n, func() error { return n.cutPower(ctx, s.disk.Name()) })
}

// crash has a node end, which its clients have to see.
func (s *stage) crash(n *node, how func() error) error {
	var there []*peer
	for _, c := range s.clients {
		if p := c.current(); p != nil && p.at == n {
			there = append(there, p)
		}
	}
	began := time.Now()
	if err := how(); err != nil {
		return err
	}
	crashed := time.Now()
	for _, p := range there {
		if err := p.awaitEnd(max(time.Second, s.o.Bound-time.Since(crashed))); err != nil {
			return err
		}
	}
	s.slowest = max(s.slowest, time.Since(began))
	return nil
}

// pauseOnly stops the process for longer than pings, slow clients and handshakes are given. None of
// the clients has done anything wrong, so none may be ended for it.
func (s *stage) pauseOnly(ctx context.Context) error {
	token, err := s.token(ctx, "visitor")
	if err != nil {
		return err
	}
	pause(ctx, s.o.Load)
	if err := errors.Join(s.nodes[0].signal(syscall.SIGSTOP), s.nodes[0].awaitStopped(ctx)); err != nil {
		return err
	}
	const late = 10 // that come meanwhile
	arrived := make(chan error, late)
	for range late {
		go func() { arrived <- s.visit(ctx, token) }()
	}
	pause(ctx, s.o.Pause)
	resumed := time.Now()
	err = s.nodes[0].signal(syscall.SIGCONT)
	for range late {
		err = errors.Join(err, <-arrived)
	}
	if err != nil {
		return fmt.Errorf("clients that came meanwhile: %w", err)
	}
	if err := errors.Join(s.alive(ctx, everything...), s.undisturbed()); err != nil {
		return err
	}
	s.run.fact("stopped for %v: nobody lost the connection or a message; %d that came meanwhile were let in; all was there %v after SIGCONT", s.o.Pause, late, time.Since(resumed).Round(time.Millisecond))
	return nil
}

// floods is more connections than the API takes at a time.
const floods = 700

// flood holds all connections that the API takes, and more. Messages of clients to clients don't need it, and
// everything comes again when they are gone.
func (s *stage) flood(ctx context.Context) error {
	token, err := s.token(ctx, "visitor")
	if err != nil {
		return err
	}
	var held []net.Conn
	free := func() {
		for _, c := range held {
			c.Close()
		}
	}
	defer free()
	for range floods {
		c, err := net.DialTimeout("tcp", s.nodes[0].api, patience)
		if err != nil {
			break // its backlog is full
		}
		held = append(held, c)
	}
	if len(held) < floods/2 {
		return fmt.Errorf("flooding the API: %d connections only", len(held))
	}
	start := time.Now()
	now := map[*stream]uint64{}
	for i := range 20 {
		c := s.clients[i%min(3, len(s.clients))]
		if err := c.current().relay(c.relay, 100); err != nil {
			return fmt.Errorf("relaying while the API is flooded: %w", err)
		}
		now[c.relay] = c.relay.taken.Load()
	}
	if err := errors.Join(s.arrive(ctx, now), s.visit(ctx, token)); err != nil {
		return fmt.Errorf("while the API is flooded: %w", err)
	}
	s.run.fact("%d connections to the API: 20 relays reached all within %v", len(held), time.Since(start).Round(time.Millisecond))
	free()
	return errors.Join(within(patience, "what is published after the flood", func() error { return s.alive(ctx, everything...) }), s.undisturbed())
}

// within runs f and fails when it takes longer.
func within(most time.Duration, what string, f func() error) error {
	start := time.Now()
	err := f()
	if took := time.Since(start); took > most {
		return errors.Join(err, wronged("%s took %v, and %v at most was expected", what, took, most))
	}
	return err
}
