package proof

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
)

// clusterScenarios are those of three nodes, with NATS inside of them and beside them.
func clusterScenarios() (all []scenario) {
	for _, where := range []struct {
		prefix, what string
		external     bool
	}{{"cluster-", "with NATS inside", false}, {"nats-", "on a NATS cluster", true}} {
		for _, s := range []struct {
			name, what string
			play       func(*ChaosOptions, context.Context, *Record, layout) error
		}{
			{"kill", "kill -9 of one node after the other", (*ChaosOptions).killNodes},
			{"cut", "one node after the other cut off from the others", (*ChaosOptions).cutNodes},
			{"pause", "SIGSTOP of one node after the other", (*ChaosOptions).pauseNodes},
			{"full", "no room on one node's disk", (*ChaosOptions).fillNode},
			{"restart", "a rolling restart, twice", (*ChaosOptions).restartNodes},
		} {
			all = append(all, scenario{where.prefix + s.name, "three nodes " + where.what + ": " + s.what,
				func(o *ChaosOptions, ctx context.Context, r *Record) error {
					return s.play(o, ctx, r, layout{external: where.external})
				}})
		}
	}
	return all
}

// onCluster plays with three nodes under load, and compares the whole outcome afterwards.
func (o *ChaosOptions) onCluster(ctx context.Context, r *Record, l layout, play func(context.Context, *cluster) error) error {
	folder, err := os.MkdirTemp("", "busbar-chaos")
	if err != nil {
		return fmt.Errorf("making a data directory: %w", err)
	}
	defer os.RemoveAll(folder)
	c, err := o.newCluster(folder, l)
	if err != nil {
		return err
	}
	defer c.close()
	defer func() { c.leave(); c.clientLife.Wait() }()
	if err := c.startAll(ctx); err != nil {
		return err
	}
	if err := c.startClients(ctx); err != nil {
		return err
	}
	c.startPublishers(ctx)
	if err = play(ctx, c); err == nil {
		err = c.lively(ctx)
	}
	if err = errors.Join(err, c.load()); err != nil {
		return fmt.Errorf("%w%s", err, c.logs())
	}
	ledger, err := c.wholeOutcome(ctx)
	if err != nil {
		return fmt.Errorf("%w%s", err, c.logs())
	}
	c.cost(r)
	r.fact("%d changes: each that was acknowledged is there once, was sent once and in order, and all nodes give the same", len(ledger.events))
	for _, n := range c.nodes {
		err = errors.Join(err, n.stop())
	}
	return err
}

func (c *cluster) logs() (text string) {
	for i, n := range c.nodes {
		text += fmt.Sprintf("\nnode %d%s", i+1, n.log)
	}
	return text
}

// inTurn has each node fail under load, as often as there are rounds and three times at most.
func (c *cluster) inTurn(ctx context.Context, r *Record, lasts time.Duration, strike, mend func(i int) error) error {
	rounds := min(c.o.Rounds, clusterNodes)
	var slowest time.Duration
	for i := range rounds {
		c.o.Progress(r.Name, int64(i), int64(rounds))
		pause(ctx, c.o.Load)
		c.nodes[i].away.Store(true)
		if err := strike(i); err != nil {
			return fmt.Errorf("node %d: %w", i+1, err)
		}
		pause(ctx, lasts)
		mended := time.Now()
		if err := mend(i); err != nil {
			return fmt.Errorf("node %d: %w", i+1, err)
		}
		if err := c.nodes[i].awaitReady(ctx); err != nil {
			return fmt.Errorf("node %d: %w", i+1, err)
		}
		slowest = max(slowest, time.Since(mended))
		c.nodes[i].away.Store(false)
	}
	pause(ctx, c.o.Load)
	r.fact("%d nodes, one after the other, for %v each; ready again after %v at most", rounds, lasts, slowest.Round(time.Millisecond))
	return nil
}

func (o *ChaosOptions) killNodes(ctx context.Context, r *Record, l layout) error {
	return o.onCluster(ctx, r, l, func(ctx context.Context, c *cluster) error {
		return c.inTurn(ctx, r, o.Pause/3, func(i int) error { c.nodes[i].kill(); return nil }, func(i int) error { return c.nodes[i].start(ctx) })
	})
}

// cutNodes leaves the cut node's clients where they are: they get what they missed when it can be reached again.
func (o *ChaosOptions) cutNodes(ctx context.Context, r *Record, l layout) error {
	l.cabled = true
	return o.onCluster(ctx, r, l, func(ctx context.Context, c *cluster) error {
		return c.inTurn(ctx, r, o.Pause*2/3, c.cables.cut, c.cables.mend)
	})
}

func (o *ChaosOptions) pauseNodes(ctx context.Context, r *Record, l layout) error {
	return o.onCluster(ctx, r, l, func(ctx context.Context, c *cluster) error {
		return c.inTurn(ctx, r, o.Pause, func(i int) error { return c.nodes[i].signal(syscall.SIGSTOP) }, func(i int) error { return c.nodes[i].signal(syscall.SIGCONT) })
	})
}

func (o *ChaosOptions) restartNodes(ctx context.Context, r *Record, l layout) error {
	return o.onCluster(ctx, r, l, func(ctx context.Context, c *cluster) error {
		for pass := range 2 {
			for i, n := range c.nodes {
				o.Progress(r.Name, int64(pass*clusterNodes+i), 2*clusterNodes)
				pause(ctx, o.Load)
				n.away.Store(true)
				if err := errors.Join(n.stop(), n.start(ctx)); err != nil {
					return fmt.Errorf("node %d: %w", i+1, err)
				}
				n.away.Store(false)
			}
		}
		pause(ctx, o.Load)
		return nil
	})
}

// fillNode leaves one node without a free byte. With room again it has to take part: then another is killed, and
// the two that are left can only agree if it does.
func (o *ChaosOptions) fillNode(ctx context.Context, r *Record, l layout) error {
	l.small = 1
	return o.onCluster(ctx, r, l, func(ctx context.Context, c *cluster) error {
		small, other := c.nodes[0], c.nodes[1]
		pause(ctx, o.Load)
		filler := filepath.Join(small.logFolder(), "filler")
		filled, err := fill(filler)
		if err != nil {
			return err
		}
		pause(ctx, o.Pause/3)
		if err := os.Remove(filler); err != nil {
			return err
		}
		room := time.Now()
		if err := c.restartNATS(small); err != nil {
			return err
		}
		if err := small.awaitReady(ctx); err != nil {
			return err
		}
		ready := time.Since(room)
		pause(ctx, o.Load)
		other.away.Store(true)
		other.kill()
		probe := c.book.of(bulks)[0]
		if err := probe.insist(ctx, new(atomic.Int64), func(n uint64) error { return small.sendChanges(ctx, probe, n, 1, 100) }); err != nil {
			return fmt.Errorf("with room again, and another node gone: %w", err)
		}
		pause(ctx, o.Load)
		if err := other.start(ctx); err != nil {
			return err
		}
		other.away.Store(false)
		pause(ctx, o.Load)
		r.fact("%d bytes left no room on node 1 for %v; ready %v after there was room, and one of the two that publishing needed while node 2 was gone", filled, o.Pause/3, ready.Round(time.Millisecond))
		return nil
	})
}

// restartNATS does what a NATS server needs that isn't inside of a node, which looks after its own: it stores nothing
// any more once there was no room.
func (c *cluster) restartNATS(n *node) error {
	if n.nats == nil {
		return nil
	}
	mounts, within, err := c.o.mountsOf(n.nats.cmd.Process.Pid)
	if err != nil {
		return err
	}
	defer mounts.Close()
	n.nats.end(syscall.SIGTERM)
	n.nats.program, n.nats.mounts = slices.Concat(within, []string{c.o.NATSServer}, n.nats.program[len(n.nats.program)-2:]), false
	if err := n.nats.start(); err != nil {
		return err
	}
	return n.nats.entered()
}
