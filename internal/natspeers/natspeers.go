// Package natspeers carries messages between the hubs of several nodes over NATS' core: at most once, in the order
// of each node.
package natspeers

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
)

// Options say how to reach the other nodes.
type Options struct {
	Servers string        // NATS URLs, separated by commas
	NATS    []nats.Option // credentials, TLS and the like
	Name    string        // of the cluster; its subjects begin with it
	Node    int           // this node's number, which no other has
	Logger  *slog.Logger
}

// What waits at most in either direction; further messages are lost, and counted.
const (
	maxMessages = 65_536
	maxBytes    = 32 << 20
)

const reconnectWait = 250 * time.Millisecond

const askTimeout = time.Second // for another node with the same number to answer

// Peers is a hub.Peers. It is safe from any goroutine.
type Peers struct {
	opts    Options
	conn    *nats.Conn
	subject string // of this node's messages

	mu      sync.Mutex
	waiting []*hub.PeerMessage
	bytes   int
	more    chan struct{} // has the sender look

	lost    atomic.Uint64 // messages that there was no room for, or no connection
	stop    context.CancelFunc
	running sync.WaitGroup
}

var _ hub.Peers = (*Peers)(nil)

// Open connects to NATS, and fails when another node has the same number.
func Open(ctx context.Context, o Options) (*Peers, error) {
	p := &Peers{
		opts: o, subject: o.Name + ".peers." + strconv.Itoa(o.Node), more: make(chan struct{}, 1),
	}
	sending, stop := context.WithCancel(context.Background())
	p.stop = stop
	options := append([]nats.Option{
		nats.Name("busbar node " + strconv.Itoa(o.Node) + ": messages between nodes"),
		nats.NoEcho(), nats.MaxReconnects(-1), nats.ReconnectWait(reconnectWait), nats.ReconnectBufSize(-1), // what can't be sent is lost, not late
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			o.Logger.Warn("messages of other nodes were lost", "error", err)
		}),
	}, o.NATS...)
	var err error
	if p.conn, err = nats.Connect(o.Servers, options...); err != nil {
		stop()
		return nil, fmt.Errorf("connecting to NATS: %w", err)
	}
	if err := p.claim(ctx); err != nil {
		p.Close()
		return nil, err
	}
	p.running.Go(func() { p.send(sending) })
	return p, nil
}

// claim makes sure that the number is this node's alone: its clients' ids begin with it. Of two that claim it at
// once neither gets it.
func (p *Peers) claim(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	subject := p.opts.Name + ".node." + strconv.Itoa(p.opts.Node)
	if _, err := p.conn.Subscribe(subject, func(m *nats.Msg) { _ = m.Respond(nil) }); err != nil {
		return fmt.Errorf("claiming node %d: %w", p.opts.Node, err)
	}
	switch _, err := p.conn.RequestWithContext(ctx, subject, nil); { // it isn't sent back to this connection
	case err == nil:
		return fmt.Errorf("another node of %s has the number %d", p.opts.Name, p.opts.Node)
	case !errors.Is(err, nats.ErrNoResponders) && !errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("asking for node %d: %w", p.opts.Node, err)
	}
	return nil
}

// Follow has deliver called with what other nodes send.
func (p *Peers) Follow(deliver func(*hub.PeerMessage)) {
	s, err := p.conn.Subscribe(p.opts.Name+".peers.*", func(m *nats.Msg) {
		if message, err := decode(m.Data); err == nil {
			deliver(message)
		} else {
			p.opts.Logger.Warn("a message of another node can't be read", "subject", m.Subject, "error", err)
		}
	})
	if err == nil {
		err = s.SetPendingLimits(maxMessages, maxBytes)
	}
	if err == nil {
		err = p.conn.Flush()
	}
	if err != nil {
		p.opts.Logger.Error("messages of other nodes can't be had", "error", err)
	}
}

// Send never waits: what there is no room for is lost.
func (p *Peers) Send(m *hub.PeerMessage) {
	p.mu.Lock()
	full := len(p.waiting) >= maxMessages || p.bytes+len(m.Wire) > maxBytes && len(p.waiting) > 0
	if !full {
		p.waiting = append(p.waiting, m)
		p.bytes += len(m.Wire)
	}
	p.mu.Unlock()
	if full {
		p.lost.Add(1)
		return
	}
	select {
	case p.more <- struct{}{}:
	default:
	}
}

// Lost is how many messages weren't sent so far.
func (p *Peers) Lost() uint64 { return p.lost.Load() }

// send publishes what waits until ctx ends, and then what is left.
func (p *Peers) send(ctx context.Context) {
	for ended := false; !ended; {
		select {
		case <-p.more:
		case <-ctx.Done():
			ended = true
		}
		p.mu.Lock()
		waiting := p.waiting
		p.waiting, p.bytes = nil, 0
		p.mu.Unlock()
		for _, m := range waiting {
			if err := p.conn.Publish(p.subject, encode(m)); err != nil {
				p.lost.Add(1)
			}
		}
	}
}

// Close sends what waits.
func (p *Peers) Close() error {
	p.stop()
	p.running.Wait()
	flush, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	err := p.conn.FlushWithContext(flush)
	p.conn.Close()
	if err != nil {
		return fmt.Errorf("sending the last messages to other nodes: %w", err)
	}
	return nil
}

// header is what stands before a message's frame, behind its length in four bytes.
type header struct {
	Lossy   bool            `json:"lossy,omitempty"`
	Key     []byte          `json:"key,omitempty"`
	Label   eventloop.Label `json:"label,omitempty"`
	Names   []string        `json:"names,omitempty"`
	Clients []uint64        `json:"clients,omitempty"`
}

func encode(m *hub.PeerMessage) []byte {
	head, _ := json.Marshal(header{Lossy: m.Lossy, Key: []byte(m.Key), Label: m.Label, Names: m.Names, Clients: m.Clients})
	b := make([]byte, 0, 4+len(head)+len(m.Wire))
	b = binary.BigEndian.AppendUint32(b, uint32(len(head)))
	return append(append(b, head...), m.Wire...)
}

var errShort = errors.New("it ends early")

func decode(b []byte) (*hub.PeerMessage, error) {
	if len(b) < 4 {
		return nil, errShort
	}
	size := binary.BigEndian.Uint32(b)
	if b = b[4:]; uint64(size)+2 > uint64(len(b)) { // a frame has two bytes at least
		return nil, errShort
	}
	var h header
	if err := json.Unmarshal(b[:size], &h); err != nil {
		return nil, err
	}
	return &hub.PeerMessage{Wire: b[size:], Lossy: h.Lossy, Key: string(h.Key), Label: h.Label, Names: h.Names, Clients: h.Clients}, nil
}
