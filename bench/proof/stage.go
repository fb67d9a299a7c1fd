package proof

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/sync/errgroup"
)

// stage is a server or three on one change log, with clients and publishers at all of them. Its methods are for one
// goroutine, but for those of soak's clients.
type stage struct {
	o      *Options
	run    *Run
	folder string
	book   *Book
	layout
	nodes  []*node
	cables *cables  // nil: all are on this process's network
	room   *room    // of the first node's mounts
	disk   *os.File // it is on

	clients    []*client
	publishers []*publisher
	size       func(s *stream, n uint64) int // of a message
	attempt    time.Duration                 // of a publisher
	bound      time.Duration                 // within which a client that gets no answer leaves
	enough     atomic.Bool                   // changes were published: clients that are behind may get what there is
	living     sync.WaitGroup
	leave      context.CancelFunc // has the clients end
	ledger     *ledger
	slowest    time.Duration // of clients to see that a server was gone
}

// attempt bounds one call of a publisher who has other nodes: below what an election takes, so that it tries again
// while the first attempt is on its way.
const attempt = 5 * time.Second

// tokenSecret signs tokens that all nodes take.
var tokenSecret = []byte("the nodes of chaos share this secret")

func (o *Options) newStage(ctx context.Context, r *Run, l layout, b *Book, args ...string) (*stage, error) {
	folder, err := os.MkdirTemp("", "busbar-proof")
	if err != nil {
		return nil, fmt.Errorf("making a data directory: %w", err)
	}
	s := &stage{o: o, run: r, folder: folder, book: b, layout: l, attempt: 4 * patience, bound: 3 * patience, leave: func() {}, ledger: newLedger(b)}
	if l.nodes > 1 {
		s.attempt, s.bound = attempt, o.Bound
	}
	if err = s.addNodes(ctx, args); err == nil {
		err = s.each(func(n *node) error { return n.start(ctx) }) // at once: each waits for another
	}
	if err != nil {
		s.close()
	}
	return s, err
}

// each has something done at all nodes at once.
func (s *stage) each(do func(*node) error) error {
	var g errgroup.Group
	for _, n := range s.nodes {
		g.Go(func() error { return do(n) })
	}
	return g.Wait()
}

// close ends what runs.
func (s *stage) close() {
	s.leave()
	for _, n := range s.nodes {
		n.close()
	}
	s.living.Wait()
	s.room.close()
	s.cables.close()
	s.disk.Close()
	os.RemoveAll(s.folder)
}

func (s *stage) logs() (text string) {
	for i, n := range s.nodes {
		said, _ := n.said()
		text += fmt.Sprintf("\nnode %d%s", i+1, said)
	}
	return text
}

func (s *stage) token(ctx context.Context, user string) (string, error) {
	if s.layout.nodes == 1 {
		return s.nodes[0].session(ctx, user)
	}
	claims := jwt.MapClaims{"sub": user, "exp": time.Now().Add(24 * time.Hour).Unix()}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(tokenSecret)
}

// client comes back with its cursor, to another node when the one that it is at is gone.
type client struct {
	name, token string
	home        int
	random      *rand.Rand // owned by the goroutine that lives its life
	relay       *stream    // its own

	mu          sync.Mutex
	peer        *peer  // nil between two connections
	cursor      uint64 // seq of the newest change that was compared, or that a connection ended with
	lives       []life // that haven't been compared
	connections int
	had         [kinds]int
	fault       error
}

func (s *stage) newClient(ctx context.Context, name string, i int) (*client, error) {
	c := &client{name: name, home: i % len(s.nodes), random: rand.New(rand.NewPCG(rand.Uint64(), uint64(i)))} //nolint:gosec // any will do
	c.relay = s.book.streams[fmt.Sprintf("r%d", i)]
	var err error
	c.token, err = s.token(ctx, name)
	return c, err
}

// startClients is over when all are connected.
func (s *stage) startClients(ctx context.Context, count int) error {
	ctx, s.leave = context.WithCancel(ctx)
	for i := range count {
		c, err := s.newClient(ctx, fmt.Sprint("client", i), i)
		if err != nil {
			return err
		}
		s.clients = append(s.clients, c)
		s.living.Go(func() { s.roam(ctx, c) })
	}
	return s.await(ctx, "to be connected", func(*client, *account) bool { return true })
}

// await waits until all are connected and as they should be, which is looked at under their locks.
func (s *stage) await(ctx context.Context, what string, ok func(*client, *account) bool) error {
	late := time.Now().Add(2 * patience)
	for _, c := range s.clients {
		err := poll(ctx, time.Until(late), 10*time.Millisecond, func() (good bool, fault error) {
			c.look(func(a *account) { good, fault = a != nil && ok(c, a), c.fault })
			return good, fault
		})
		if errors.Is(err, errLate) {
			return wronged("%s had %v %s", c.name, 2*patience, what)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// look has a look under the client's lock, and that of its connection if there is one.
func (c *client) look(f func(*account)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.peer == nil {
		f(nil)
		return
	}
	c.peer.with(f)
}

func (c *client) current() *peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peer
}

// roam goes on until ctx ends or the client is wronged.
func (s *stage) roam(ctx context.Context, c *client) {
	for at := c.home; ctx.Err() == nil && c.fault == nil; {
		p, err := s.nodes[at].connect(context.WithoutCancel(ctx), caller{user: c.name, token: c.token, since: c.cursor, within: s.bound}, s.book)
		if err == nil {
			s.stay(ctx, c, p, at)
		}
		if at != c.home && !s.nodes[c.home].away.Load() {
			at = c.home
			continue
		}
		at = (at + 1) % len(s.nodes)
		pause(ctx, 20*time.Millisecond)
	}
}

// homeAgain is how long who has left a node stays elsewhere at least.
const homeAgain = 3 * time.Second

// stay is over when the connection has ended, the server doesn't answer pings in time, or the client can go home.
func (s *stage) stay(ctx context.Context, c *client, p *peer, at int) {
	err := p.subscribe(s.book.of(rows)...)
	if err == nil {
		c.mu.Lock()
		c.peer, c.connections = p, c.connections+1
		c.mu.Unlock()
	}
	for came := time.Now(); err == nil && ctx.Err() == nil; err = p.settle() {
		if at != c.home && !s.nodes[c.home].away.Load() && time.Since(came) > homeAgain {
			break
		}
		select {
		case <-p.ended:
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	p.gone()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.peer, c.fault = nil, p.fault()
	c.endLife(p.account)
	for kind, n := range p.account.counts {
		c.had[kind] += n
	}
}

// endLife has what came so far compared by the next audit.
func (c *client) endLife(a *account) {
	c.lives = append(c.lives, life{c.name, c.cursor, a.events})
	c.cursor, a.events = a.seq, nil
}

// visit has another client come, whose session nobody has looked up before.
func (s *stage) visit(ctx context.Context, token string) error {
	p, err := s.nodes[0].connect(ctx, caller{user: "visitor", token: token, within: s.bound}, s.book)
	if err == nil {
		defer p.gone()
		err = p.settle()
	}
	if err != nil {
		return fmt.Errorf("a client with a session that nobody has used: %w", err)
	}
	return nil
}

// undisturbed wants all clients on their first connection.
func (s *stage) undisturbed() error {
	for _, c := range s.clients {
		connections, fault := 0, error(nil)
		c.look(func(*account) { connections, fault = c.connections, c.fault })
		if fault != nil || connections != 1 {
			return errors.Join(fault, wronged("%s came %d times", c.name, connections))
		}
	}
	return nil
}
