package proof

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// scenario is one way in which the world fails, under load and with clients; the outcome is compared afterwards.
type scenario struct {
	name, what string
	layout     layout
	args       func(*Options) []string // for the daemons; may be nil
	play       func(*stage, context.Context) error
}

// oneNode's data directory has room for the change log's WAL, which grows to 4 MiB, and for bodies of many changes.
var scenarios = slices.Concat([]scenario{
	{"kill", "kill -9 under load, and a new start", layout{nodes: 1}, nil, (*stage).killInTurn},
	{"power", "the power of the disk cut under load, and a new start", layout{nodes: 1, powered: true}, nil, (*stage).cutPowerInTurn},
	{"pause", "SIGSTOP, and SIGCONT much later", layout{nodes: 1}, (*Options).quiet, (*stage).pauseOnly},
	{"port", "the API's port taken by another process at the start, and flooded", layout{nodes: 1}, nil, (*stage).takePort},
	{"full", "no room in the data directory", layout{nodes: 1, size: "32m"}, nil, (*stage).fillDirectory},
	{"read-only", "the data directory is read-only", layout{nodes: 1, size: "32m"}, nil, (*stage).readOnly},
	{"lock", "another process holds the database's lock", layout{nodes: 1}, nil, (*stage).lock},
}, clusterScenarios("cluster-", "with NATS inside", false), clusterScenarios("nats-", "on a NATS cluster", true))

func clusterScenarios(prefix, where string, external bool) []scenario {
	all := []scenario{
		{"kill", "kill -9 of one node after the other", layout{}, nil, (*stage).killInTurn},
		{"cut", "one node after the other cut off from the others", layout{cabled: true}, nil, (*stage).cutInTurn},
		{"pause", "SIGSTOP of one node after the other", layout{}, nil, (*stage).pauseInTurn},
		{"full", "no room on one node's disk", layout{size: "512m"}, nil, (*stage).fillNode},
		{"restart", "a rolling restart, twice", layout{}, nil, (*stage).restartInTurn},
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
	args := []string{"-max-per-ip", "0"}
	if sc.args != nil {
		args = append(args, sc.args(o)...)
	}
	s, err := o.newStage(ctx, r, sc.layout, chaosBook(sc.layout), args...)
	if err != nil {
		return err
	}
	defer s.close()
	usual := 100
	if sc.layout.nodes > 1 {
		usual = 12
	}
	if err := s.startClients(ctx, cmp.Or(o.Clients, usual)); err != nil {
		return err
	}
	s.size = chaosSize
	loading, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := s.load(loading, s.rate(), nil)
	// Without a cursor, who comes again has nothing to ask for.
	if err = s.await(ctx, "for a change", func(_ *client, a *account) bool { return a.seq > 0 }); err == nil {
		err = sc.play(s, ctx)
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

// inTurn has each node fail under load, as often as there are rounds, and each of several once at most. A single one has
// to have its clients back after each round, and everything compared.
func (s *stage) inTurn(ctx context.Context, rounds int, lasts time.Duration, strike, mend func(*node) error) error {
	alone := len(s.nodes) == 1
	if !alone {
		rounds = min(rounds, len(s.nodes))
	}
	var ready, back time.Duration
	for round := range rounds {
		n := s.nodes[round%len(s.nodes)]
		s.o.Progress(s.run.Name, int64(round), int64(rounds))
		pause(ctx, s.o.Load/2+rand.N(s.o.Load+1)) //nolint:gosec // any moment will do
		n.away.Store(true)
		struck := time.Now()
		err := strike(n)
		if err == nil {
			pause(ctx, lasts)
			mended := time.Now()
			err = mend(n)
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

// crash has a node end, which its clients have to see.
func (s *stage) crash(n *node, how func() error) error {
	var there []*peer
	for _, c := range s.clients {
		c.look(func(a *account) {
			if a != nil && s.nodes[c.at] == n {
				there = append(there, c.peer)
			}
		})
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

func (s *stage) killInTurn(ctx context.Context) error {
	lasts := s.o.Pause / 3
	if len(s.nodes) == 1 {
		lasts = 0
	}
	return s.inTurn(ctx, s.o.Rounds, lasts, func(n *node) error { return s.crash(n, n.kill) }, func(n *node) error { return n.start(ctx) })
}

func (s *stage) cutPowerInTurn(ctx context.Context) error {
	return s.inTurn(ctx, max(1, s.o.Rounds/5), 0, func(n *node) error {
		return s.crash(n, func() error { return n.cutPower(ctx, s.disk.Name()) })
	}, func(n *node) error { return n.start(ctx) })
}

// cutInTurn leaves the cut node's clients where they are: they get what they missed when it can be reached again.
func (s *stage) cutInTurn(ctx context.Context) error {
	set := func(state string) func(n *node) error {
		return func(n *node) error { return s.cables.set(ctx, slices.Index(s.nodes, n), state) }
	}
	return s.inTurn(ctx, s.o.Rounds, s.o.Pause*2/3, set("down"), set("up"))
}

func (s *stage) pauseInTurn(ctx context.Context) error {
	return s.inTurn(ctx, s.o.Rounds, s.o.Pause, func(n *node) error { return n.signal(syscall.SIGSTOP) }, func(n *node) error { return n.signal(syscall.SIGCONT) })
}

func (s *stage) restartInTurn(ctx context.Context) error {
	for range 2 {
		if err := s.inTurn(ctx, len(s.nodes), 0, (*node).stop, func(n *node) error { return n.start(ctx) }); err != nil {
			return err
		}
	}
	return nil
}

// quiet has a daemon patient with clients, but for less time than it is stopped.
func (o *Options) quiet() []string {
	quiet := max(time.Second, o.Pause/3).String()
	return []string{"-ping-interval", quiet, "-pong-timeout", quiet}
}

// pauseOnly stops the process for longer than pings, slow clients and handshakes are given. None of
// the clients has done anything wrong, so none may be ended for it.
func (s *stage) pauseOnly(ctx context.Context) error {
	token, err := s.token(ctx, "visitor")
	if err != nil {
		return err
	}
	pause(ctx, s.o.Load)
	if err := s.nodes[0].signal(syscall.SIGSTOP); err != nil {
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

// takePort takes the API's port away: at the start of another daemon, and by more connections than it takes.
func (s *stage) takePort(ctx context.Context) error {
	if err := s.secondOnPort(ctx); err != nil {
		return err
	}
	if err := s.alive(ctx, everything...); err != nil {
		return err
	}
	if err := s.flood(ctx); err != nil {
		return err
	}
	return errors.Join(within(patience, "what is published after the flood", func() error { return s.alive(ctx, everything...) }), s.undisturbed())
}

// secondOnPort starts another daemon with the same API port.
func (s *stage) secondOnPort(ctx context.Context) error {
	other, err := newDaemon(s.o.Program, filepath.Join(s.folder, "other"))
	if err != nil {
		return err
	}
	api := s.nodes[0].api
	free := other.api
	other.api = api
	if err := other.launch(); err != nil {
		return err
	}
	defer other.kill()
	select {
	case <-other.ended:
	case <-time.After(patience):
		return wronged("it serves without its API port%s", other.log)
	}
	log := other.log.String()
	if code := other.ProcessState.ExitCode(); code != 1 || !strings.Contains(log, "-api "+api) || !strings.Contains(log, "address already in use") {
		return wronged("a taken API port: exit code %d%s", code, log)
	}
	s.run.fact("port taken: exit code 1, and a line that names -api, the address and why")
	other.api = free
	if err := other.start(ctx); err != nil { // its WebSocket port is free again
		return fmt.Errorf("on the port that failed before: %w", err)
	}
	return other.stop()
}

// flood holds all connections that the API takes, and more. Messages of clients to clients don't need it.
func (s *stage) flood(ctx context.Context) error {
	token, err := s.token(ctx, "visitor")
	if err != nil {
		return err
	}
	var held []net.Conn
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
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
		now[c.relay] = c.relay.taken()
	}
	if err := errors.Join(s.arrive(ctx, now), s.visit(ctx, token)); err != nil {
		return fmt.Errorf("while the API is flooded: %w", err)
	}
	s.run.fact("%d connections to the API: 20 relays reached all within %v", len(held), time.Since(start).Round(time.Millisecond))
	return nil
}
