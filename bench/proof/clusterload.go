package proof

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/busbar-ws/busbar/eventloop"
)

// clusterStreams are what is published at each node: bodies and single changes, with and without op ids, for all
// and for one user, by HTTP and, where NATS runs beside the nodes, by requests to it; and what isn't in the log.
func clusterStreams(external bool) *Book {
	b := newBook(false)
	b.audited = true
	for _, one := range []struct {
		name    string
		streams int // at each node
		body    int
		opIDs   bool
		toUser  string
		nats    bool
	}{
		{"bodies", 2, 200, true, "", false}, {"single", 1, 1, true, "", false}, {"without", 1, 50, false, "", false},
		{"private", 1, 50, true, "client0", false}, {"requests", 1, 200, true, "", true}, {"request", 1, 1, true, "", true},
	} {
		if one.nats && !external {
			continue
		}
		for _, s := range b.add(changes, one.name, one.streams*clusterNodes) {
			s.body, s.opIDs, s.toUser, s.nats, s.late = one.body, one.opIDs, one.toUser, one.nats, !one.opIDs
		}
	}
	b.add(bulks, "probe", 1)[0].opIDs = true
	for _, s := range b.add(rows, "row", clusterNodes) {
		s.late = true
	}
	for _, s := range append(b.add(presence, "presence", clusterNodes), b.add(topics, "topic", clusterNodes)...) {
		s.lossy = true
	}
	return b
}

// publisher publishes one stream, at its own node as long as that answers; what may be lost at no other, whose messages
// overtake its own. One goroutine has it.
type publisher struct {
	stream   *stream
	at, home int
	left     time.Time // home, for another node
	failures atomic.Int64
	took     []time.Duration
	longest  time.Duration // without an acknowledgement
}

// homeAgain is how long who has left a node stays elsewhere at least.
const homeAgain = 3 * time.Second

// attempt bounds one call of a publisher: below what an election takes, so that it tries again while the first
// attempt is on its way.
const attempt = 5 * time.Second

// rowsEvery is how often what isn't a change is published.
const rowsEvery = 250 * time.Millisecond

func (c *cluster) startPublishers(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	soft, end := context.WithCancel(ctx)
	all := c.book.of(changes, rows, presence, topics)
	each := 0
	for _, s := range c.book.of(changes) {
		each += s.body
	}
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, s := range all {
		p := &publisher{stream: s, home: i % clusterNodes, at: i % clusterNodes}
		every := rowsEvery
		if s.kind == changes {
			every = time.Duration(float64(each) / c.o.nodesRate * float64(time.Second))
		}
		if !s.lossy {
			c.publishers = append(c.publishers, p)
		}
		wg.Go(func() { errs[i] = c.publish(ctx, soft, p, every) })
	}
	c.load = func() error {
		end()
		wg.Wait()
		cancel()
		return errors.Join(errs...)
	}
}

func (c *cluster) publish(ctx, soft context.Context, p *publisher, every time.Duration) (err error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for acknowledged := time.Now(); err == nil && !(c.enough.Load() && p.stream.kind == changes); {
		select {
		case <-tick.C:
		case <-soft.Done():
			return nil
		}
		began := time.Now()
		send := func(n uint64) error { return c.send(ctx, p, n) }
		if p.stream.opIDs || p.stream.kind == rows {
			err = p.stream.insist(ctx, &p.failures, send)
		} else {
			n := p.stream.begin(p.stream.body)
			failed := send(n)
			p.stream.finish(n, p.stream.body, failed)
			if failed != nil {
				p.failures.Add(1)
				continue
			}
		}
		now := time.Now()
		p.took, p.longest, acknowledged = append(p.took, now.Sub(began)), max(p.longest, now.Sub(acknowledged)), now
	}
	return err
}

// send tries once, and goes to the next node when that fails. Of rows some are stored in parts.
func (c *cluster) send(ctx context.Context, p *publisher, number uint64) error {
	if p.at != p.home && time.Since(p.left) > homeAgain && !c.nodes[p.home].away.Load() {
		p.at = p.home
	}
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	n, size := c.nodes[p.at], 40+int(number%7)*30
	if p.stream.kind == rows && number%100 == 1 {
		size = 300 << 10
	}
	var err error
	if p.stream.nats {
		err = p.stream.sendChanges(number, p.stream.body, size, func(mime string, body []byte) ([]byte, error) { return n.nats.request(ctx, mime, body) })
	} else {
		err = n.send(ctx, p.stream, number, size)
	}
	if err != nil && !p.stream.lossy {
		err = fmt.Errorf("at node %d: %w", p.at+1, err)
		p.at, p.left = (p.at+1)%clusterNodes, time.Now()
	}
	return err
}

// roamer is a client that goes to another node with its cursor when the one that it is at is gone.
type roamer struct {
	*slot
	home int

	mu    sync.Mutex
	peer  *peer // nil between two connections
	lives []life
	had   [kinds]int
	fault error
}

// startClients is over when all are connected.
func (c *cluster) startClients(ctx context.Context) error {
	ctx, c.leave = context.WithCancel(ctx)
	for i := range c.o.nodesClients {
		s := &slot{name: fmt.Sprint("client", i)}
		var err error
		if s.token, err = c.token(s.name); err != nil {
			return err
		}
		r := &roamer{slot: s, home: i % clusterNodes}
		c.clients = append(c.clients, r)
		c.clientLife.Go(func() { c.roam(ctx, r) })
	}
	return c.awaitClients(ctx, "to be connected", func(r *roamer) bool { return r.peer != nil })
}

// awaitClients waits until all are as they should be, which is looked at under their locks.
func (c *cluster) awaitClients(ctx context.Context, what string, ok func(*roamer) bool) error {
	late := time.Now().Add(2 * patience)
	for _, r := range c.clients {
		for {
			r.mu.Lock()
			good, fault := ok(r), r.fault
			r.mu.Unlock()
			switch {
			case fault != nil:
				return fault
			case time.Now().After(late):
				return wronged("%s had %v %s", r.name, 2*patience, what)
			}
			if good {
				break
			}
			if !pause(ctx, 20*time.Millisecond) {
				return ctx.Err()
			}
		}
	}
	return nil
}

// roam goes on until ctx ends or the client is wronged.
func (c *cluster) roam(ctx context.Context, r *roamer) {
	for at := r.home; ctx.Err() == nil && r.fault == nil; {
		n := c.nodes[at]
		p, err := connect(context.WithoutCancel(ctx), caller{
			address: n.ws, user: r.name, token: r.token, since: r.cursor, network: n.network, within: c.o.Bound,
		}, c.book)
		if err == nil {
			c.stay(ctx, r, p, at)
		}
		if home := c.nodes[r.home]; at != r.home && !home.away.Load() {
			at = r.home
			continue
		}
		at = (at + 1) % clusterNodes
		pause(ctx, 20*time.Millisecond)
	}
}

// stay is over when the connection has ended, the server doesn't answer pings in time, or the client can go home.
func (c *cluster) stay(ctx context.Context, r *roamer, p *peer, at int) {
	var err error
	for _, s := range c.book.of(rows) {
		err = errors.Join(err, p.subscribe(s))
	}
	if err = errors.Join(err, p.settleWithin(c.o.Bound)); err == nil {
		r.mu.Lock()
		r.peer = p
		r.mu.Unlock()
	}
	for came := time.Now(); err == nil && p.settleWithin(c.o.Bound) == nil && pause(ctx, time.Second); {
		if at != r.home && !c.nodes[r.home].away.Load() && time.Since(came) > homeAgain {
			break
		}
	}
	p.gone()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.peer, r.fault = nil, p.fault
	r.lives = append(r.lives, life{r.name, r.cursor, p.account.events})
	for kind, n := range p.account.counts {
		r.had[kind] += n
	}
	r.cursor = p.account.seq
}

// wholeOutcome compares what publishers were answered and clients were given with the log, which all nodes have
// to give alike.
func (c *cluster) wholeOutcome(ctx context.Context) (*ledger, error) {
	at := func(n *node) *stage { return &stage{arena: newArena(n.daemon, c.book)} }
	l, first := newLedger(c.book), at(c.nodes[0])
	if err := first.pull(ctx, first.admin, 0, l.text); err != nil {
		return nil, err
	}
	newest := make(map[string]uint64)
	for _, e := range l.events {
		newest[e.stream.toUser] = e.seq
	}
	stored := map[*stream]uint64{}
	for _, s := range c.book.of(rows) {
		stored[s] = s.taken()
	}
	if err := c.awaitClients(ctx, "for the newest event and the newest of each row", func(r *roamer) bool {
		return r.peer != nil && r.peer.seq() >= max(newest[""], newest[r.name]) && !r.peer.lacks(stored)
	}); err != nil {
		return nil, err
	}
	if err := c.compareLeft(ctx); err != nil {
		return nil, err
	}
	c.leave()
	c.clientLife.Wait()
	var lives []life
	for _, r := range c.clients {
		if r.fault != nil {
			return nil, r.fault
		}
		lives = append(lives, r.lives...)
	}
	if err := first.audit(ctx, l, lives); err != nil {
		return nil, err
	}
	one := c.clients[0]
	if err := first.comparePull(ctx, l, one.name, one.token); err != nil {
		return nil, err
	}
	for i, n := range c.nodes {
		if err := at(n).comparePull(ctx, l, everyone, n.admin); err != nil {
			return nil, fmt.Errorf("node %d: %w", i+1, err)
		}
	}
	return l, l.once()
}

func (p *peer) seq() (seq uint64) {
	p.with(func(a *account) { seq = a.seq })
	return seq
}

func (p *peer) lacks(upTo map[*stream]uint64) (lacks bool) {
	p.with(func(a *account) { _, lacks = a.behind(upTo) })
	return lacks
}

// compareLeft wants nobody connected who was said to have left.
func (c *cluster) compareLeft(ctx context.Context) error {
	left := map[uint64]string{}
	for _, r := range c.clients {
		r.mu.Lock()
		if r.peer != nil {
			r.peer.with(func(a *account) {
				for id, start := range a.left {
					if start == c.book.starts[eventloop.NodeOf(id)].Load() {
						left[id] = r.name
					}
				}
			})
		}
		r.mu.Unlock()
	}
	for i, n := range c.nodes {
		text, err := n.call(ctx, "GET", "/v1/clients?limit=1000", "", nil)
		if err != nil {
			return err
		}
		var page struct{ Clients []struct{ ID uint64 } }
		if err := json.Unmarshal(text, &page); err != nil || len(page.Clients) == 0 {
			return wronged("the clients of node %d are %s", i+1, text)
		}
		for _, one := range page.Clients {
			if who, wrong := left[one.ID]; wrong {
				return wronged("%s was told that client %d had left, which is at node %d", who, one.ID, i+1)
			}
		}
	}
	return nil
}

// lively waits until enough was published to be compared, and each client gets what each node publishes now that
// isn't in the log.
func (c *cluster) lively(ctx context.Context) error {
	for late := time.Now().Add(8 * patience); ; {
		var n uint64
		for _, s := range c.book.of(changes) {
			n += s.acknowledgedSoFar()
		}
		if n >= uint64(c.o.Events) {
			break
		}
		if time.Now().After(late) {
			return fmt.Errorf("%d changes were acknowledged, of %d that are to be compared", n, c.o.Events)
		}
		if !pause(ctx, 100*time.Millisecond) {
			return ctx.Err()
		}
	}
	c.enough.Store(true)
	now := map[*stream]uint64{}
	for _, s := range c.book.of(presence, topics) {
		now[s] = s.next()
	}
	return c.awaitClients(ctx, "for presence and topics of each node", func(r *roamer) (all bool) {
		if r.peer != nil {
			r.peer.with(func(a *account) {
				all = true
				for s, n := range now {
					all = all && a.places[s].next > n
				}
			})
		}
		return all
	})
}

// cost is what publishers and clients have noticed.
func (c *cluster) cost(r *Record) {
	var all []time.Duration
	var failures int64
	gaps := make([]string, len(c.publishers))
	for i, p := range c.publishers {
		all = append(all, p.took...)
		failures += p.failures.Load()
		gaps[i] = fmt.Sprintf("%s %.1f", p.stream.name, p.longest.Seconds())
	}
	slices.Sort(all)
	if len(all) == 0 {
		return
	}
	connections := 0
	var had [kinds]int
	for _, one := range c.clients {
		connections += len(one.lives)
		for kind, n := range one.had {
			had[kind] += n
		}
	}
	r.fact("%d calls acknowledged, p50 %v, p99 %v; %d failed, and were made at another node, or given up without an op_id; the longest without an acknowledgement, by publisher, in seconds: %v",
		len(all), all[len(all)/2].Round(100*time.Microsecond), all[len(all)*99/100].Round(time.Millisecond), failures, gaps)
	r.fact("%d clients had %d connections, and on them %d changes, %d frames of rows, %d presence and topic messages; nobody was told to resync",
		len(c.clients), connections, had[changes]+had[bulks], had[rows], had[presence]+had[topics])
}
