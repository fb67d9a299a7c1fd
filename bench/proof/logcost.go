package proof

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/bench/runner"
)

// LogCostOptions say how logs are compared: one publisher of single changes, and clients that all get them, at one
// server. All are needed.
//
// What the log costs is the difference with one client. With many it can't be told: the sooner a publisher is
// answered, the more changes go out together, which costs less than the log does.
type LogCostOptions struct {
	ChaosOptions     // of which Program, Self, NATSServer, Args, Clients, Rounds, Rate and Progress count
	Events       int // of each round and log
}

// LogCost is what delivering cost with a log, in one round.
type LogCost struct {
	Log      string        `json:"log"`
	P50, P99 time.Duration // from publishing to a client
	Server   float64       `json:"server"` // ns of the server's CPU for each delivery
	Others   float64       `json:"others"` // of the other nodes and NATS servers, for each change
	Alone    float64       `json:"alone"`  // ns of the server's CPU for each change, to one client
}

// perClient is what one client more costs with each change.
func (c *LogCost) perClient(clients int) float64 {
	return (c.Server*float64(clients) - c.Alone) / float64(clients-1)
}

// enough is at how many clients the part of a change that isn't for them has so small a share of all.
func (c *LogCost) enough(part, share float64, clients int) float64 {
	return max(1, 1+(part/share-c.Alone)/c.perClient(clients))
}

// LogCostResult has all rounds.
type LogCostResult struct {
	Clients int          `json:"clients"`
	Rate    float64      `json:"rate"`
	Rounds  [][]*LogCost `json:"rounds"`
}

var costLogs = []string{"memory", "disk", "nats, inside of three nodes", "nats, a cluster of three servers"}

// LogCosts compares the logs, in turned order.
func LogCosts(ctx context.Context, o LogCostOptions) (*LogCostResult, error) {
	o.defaults()
	if o.Events < 1 || o.Clients < 2 || o.Rounds < 1 || o.Rate <= 0 {
		return nil, fmt.Errorf("%w: %d changes, %d clients, %d rounds, %g changes a second", ErrOptions, o.Events, o.Clients, o.Rounds, o.Rate)
	}
	o.Args = append([]string{"-max-per-ip", "0", "-ping-interval", "1h"}, o.Args...) // these clients don't answer
	r := &LogCostResult{Clients: o.Clients, Rate: o.Rate}
	for round := range o.Rounds {
		costs := make([]*LogCost, len(costLogs))
		for i := range costLogs {
			at := (round + i) % len(costLogs)
			o.Progress(costLogs[at], int64(round*len(costLogs)+i), int64(o.Rounds*len(costLogs)))
			var err error
			if costs[at], err = o.one(ctx, at); err != nil {
				return r, fmt.Errorf("%s: %w", costLogs[at], err)
			}
		}
		r.Rounds = append(r.Rounds, costs)
	}
	return r, nil
}

// one starts what a log needs, and measures.
func (o *LogCostOptions) one(ctx context.Context, which int) (*LogCost, error) {
	folder, err := os.MkdirTemp("", "busbar-logs")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	cost := &LogCost{Log: costLogs[which]}
	if which < 2 {
		d, err := newDaemon(o.Program, filepath.Join(folder, "data"), append([]string{"-log", costLogs[which]}, o.Args...)...)
		if err != nil {
			return nil, err
		}
		if err := d.start(ctx); err != nil {
			return nil, err
		}
		token, err := d.session(ctx, "client")
		if err == nil {
			err = o.measure(ctx, d, token, nil, cost)
		}
		return cost, errors.Join(err, d.stop())
	}
	c, err := o.newCluster(folder, layout{external: which == 3})
	if err != nil {
		return nil, err
	}
	defer c.close()
	if err := c.startAll(ctx); err != nil {
		return nil, err
	}
	var others []int
	for i, n := range c.nodes {
		if i > 0 {
			others = append(others, n.pid())
		}
		if n.nats != nil {
			others = append(others, n.nats.cmd.Process.Pid)
		}
	}
	token, err := c.token("client")
	if err != nil {
		return nil, err
	}
	return cost, o.measure(ctx, c.nodes[0].daemon, token, others, cost)
}

// warmUp is how many changes come before the first that counts.
const warmUp = 20

func (o *LogCostOptions) measure(ctx context.Context, d *daemon, token string, others []int, cost *LogCost) error {
	if err := o.deliver(ctx, d, token, others, 1, cost); err != nil {
		return err
	}
	cost.Alone = cost.Server
	return o.deliver(ctx, d, token, others, o.Clients, cost)
}

func (o *LogCostOptions) deliver(ctx context.Context, d *daemon, token string, others []int, clients int, cost *LogCost) error {
	events := o.Events + warmUp
	published := make([]atomic.Int64, events+1)
	readers, conns := make([]*costReader, clients), make([]net.Conn, 0, clients)
	leave := func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}
	var reading sync.WaitGroup
	defer reading.Wait()
	defer leave()
	began := time.Now()
	for i := range readers {
		conn, r, err := dialClient(ctx, caller{address: d.ws, token: token})
		if err != nil {
			return err
		}
		conns = append(conns, conn)
		readers[i] = &costReader{in: r, took: make([]time.Duration, 0, o.Events)}
		reading.Go(func() { readers[i].read(events, began, published) })
	}
	s := newBook(false).add(changes, fmt.Sprintf("to%d-", clients), 1)[0]
	tick := time.NewTicker(time.Duration(float64(time.Second) / o.Rate))
	defer tick.Stop()
	before := make([]int64, 2)
	for n := 1; n <= events; n++ {
		<-tick.C
		if n == warmUp+1 {
			var err error
			if before, err = cpuOf(d.pid(), others); err != nil {
				return err
			}
		}
		published[n].Store(int64(time.Since(began)))
		if err := d.sendChanges(ctx, s, uint64(n), 1, 200); err != nil {
			return err
		}
	}
	late := time.AfterFunc(patience, leave)
	reading.Wait()
	late.Stop()
	after, err := cpuOf(d.pid(), others)
	var all []time.Duration
	for _, r := range readers {
		err = errors.Join(err, r.err)
		all = append(all, r.took...)
	}
	if err != nil {
		return err
	}
	slices.Sort(all)
	cost.P50, cost.P99 = all[len(all)/2], all[len(all)*99/100]
	cost.Server, cost.Others = float64(after[0]-before[0])/float64(len(all)), float64(after[1]-before[1])/float64(o.Events)
	return nil
}

// cpuOf is what a process has had, and others together, in nanoseconds.
func cpuOf(pid int, others []int) ([]int64, error) {
	own, err := runner.ProcessTime(pid)
	sum := int64(0)
	for _, other := range others {
		n, e := runner.ProcessTime(other)
		sum, err = sum+n, errors.Join(err, e)
	}
	return []int64{own, sum}, err
}

// costReader is a client that does as little as it can.
type costReader struct {
	in   *bufio.Reader
	took []time.Duration
	err  error
}

// read wants each of so many changes once and in order.
func (c *costReader) read(events int, began time.Time, published []atomic.Int64) {
	payload := make([]byte, 4096)
	for want := uint64(1); want <= uint64(events); {
		h, err := ws.ReadHeader(c.in)
		if err == nil && h.Length > int64(len(payload)) {
			err = fmt.Errorf("a frame of %d bytes", h.Length)
		}
		if err == nil {
			_, err = io.ReadFull(c.in, payload[:h.Length])
		}
		if err != nil {
			c.err = fmt.Errorf("a client, at change %d: %w", want, err)
			return
		}
		if h.OpCode != ws.OpText || bytes.HasPrefix(payload, []byte(`{"type":"presence"`)) { // of the one client's end
			continue
		}
		n, err := number(payload[:h.Length], `"n":`)
		if err != nil || n != want {
			c.err = wronged("change %d came, and %d was due: %.100q", n, want, payload[:h.Length])
			return
		}
		if want++; n > warmUp {
			c.took = append(c.took, time.Since(began)-time.Duration(published[n].Load()))
		}
	}
}

// WriteTable writes medians over rounds; what is said of the log is of each round's own.
func (r *LogCostResult) WriteTable(w io.Writer) error {
	const share = 0.05
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "%d clients, %g changes a second, medians of %d rounds\n", r.Clients, r.Rate, len(r.Rounds))
	fmt.Fprintf(t, "log\tdelivery p50\tp99\tserver's CPU per delivery\tthe log's per change\tshare\tunder %g %% from\tother processes' CPU per change\n", 100*share)
	for i, name := range costLogs {
		of := func(f func(c *LogCost, log float64) float64) float64 {
			var all []float64
			for _, costs := range r.Rounds {
				all = append(all, f(costs[i], costs[i].Alone-costs[0].Alone))
			}
			slices.Sort(all)
			return all[len(all)/2]
		}
		clients := float64(r.Clients)
		fmt.Fprintf(t, "%s\t%.1f ms\t%.1f ms\t%.2f µs\t%.2f ms\t%.1f %%\t%.0f clients\t%.2f ms\n", name,
			of(func(c *LogCost, _ float64) float64 { return c.P50.Seconds() * 1e3 }), of(func(c *LogCost, _ float64) float64 { return c.P99.Seconds() * 1e3 }),
			of(func(c *LogCost, _ float64) float64 { return c.Server / 1e3 }), of(func(_ *LogCost, log float64) float64 { return log / 1e6 }),
			of(func(c *LogCost, log float64) float64 { return 100 * log / (c.Server * clients) }),
			of(func(c *LogCost, log float64) float64 { return c.enough(log, share, r.Clients) }),
			of(func(c *LogCost, _ float64) float64 { return c.Others / 1e6 }))
	}
	return t.Flush()
}
