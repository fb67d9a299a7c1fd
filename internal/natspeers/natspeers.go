// Package natspeers carries messages between the hubs of several nodes over NATS' core: at most once, in the order
// of each node.
package natspeers

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/nats-io/nats.go"
	"golang.org/x/time/rate"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/natsconn"
	"github.com/busbar-ws/busbar/internal/strictjson"
)

// Options say how to reach the other nodes.
type Options struct {
	Servers string        // NATS URLs, separated by commas
	NATS    []nats.Option // credentials, TLS and the like
	Name    string        // of the cluster; its subjects begin with it
	Node    int           // this node's number, which no other has
	Logger  *slog.Logger
}

// What waits at most in either direction, or one message; further ones are lost, and counted.
const (
	maxMessages = 65_536
	maxBytes    = 8 << 20
)

const tellLosses = 10 * time.Second // at most once in that time

// Peers is a hub.Peers. It is safe from any goroutine.
type Peers struct {
	opts    Options
	conn    *nats.Conn
	subject string // of this node's messages
	claim   claim
	failed  chan error

	mu      sync.Mutex
	waiting []*hub.PeerMessage
	bytes   int
	more    chan struct{} // has the sender look

	number  uint64        // of the last message that was sent: send's
	lost    atomic.Uint64 // messages that there was no room for, or no connection, or that came late
	feed    atomic.Pointer[nats.Subscription]
	carry   atomic.Pointer[func(context.Context, *hub.PeerCall) bool]
	losses  rate.Sometimes
	stop    context.CancelFunc
	running sync.WaitGroup
}

var _ hub.Peers = (*Peers)(nil)

// Open connects to NATS, and fails when another node has the same number.
func Open(ctx context.Context, o Options) (*Peers, error) {
	p := &Peers{
		opts: o, subject: o.Name + ".peers." + strconv.Itoa(o.Node), more: make(chan struct{}, 1),
		claim: claim{Since: time.Now().UnixNano(), Name: rand.Text()}, failed: make(chan error, 1),
		losses: rate.Sometimes{Interval: tellLosses},
	}
	sending, stop := context.WithCancel(context.Background())
	p.stop = stop
	var err error
	if p.conn, _, err = natsconn.Connect(natsconn.Options{
		Servers: o.Servers, Logger: o.Logger, Reconnected: func() {},
		NATS: append([]nats.Option{
			nats.Name("busbar node " + strconv.Itoa(o.Node) + ": messages between nodes"), nats.NoEcho(),
			nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { p.tellLoss(err) }),
		}, o.NATS...),
	}); err != nil {
		stop()
		return nil, fmt.Errorf("connecting to NATS: %w", err)
	}
	if err := p.open(ctx); err != nil {
		p.Close()
		return nil, err
	}
	p.running.Go(func() { p.send(sending) })
	p.running.Go(func() { p.holdNumber(sending) })
	return p, nil
}

// Follow has deliver called with what other nodes send, and carryOut with what they ask.
func (p *Peers) Follow(deliver func(*hub.PeerMessage), carryOut func(context.Context, *hub.PeerCall) bool) {
	p.carry.Store(&carryOut)
	latest := make(map[string]place) // by subject
	s, err := p.conn.Subscribe(p.opts.Name+".peers.*", func(m *nats.Msg) {
		message, at, err := decode(m.Data)
		switch last := latest[m.Subject]; {
		case err != nil:
			p.lose(fmt.Errorf("one of %s can't be read: %w", m.Subject, err))
		case at.Since == last.Since && at.Number <= last.Number:
			p.lose(errLate)
		default:
			latest[m.Subject] = at
			deliver(message)
		}
	})
	if err == nil {
		p.feed.Store(s)
		err = s.SetPendingLimits(maxMessages, max(maxBytes, 2*int(p.conn.MaxPayload())))
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
		p.lose(errFull)
		return
	}
	select {
	case p.more <- struct{}{}:
	default:
	}
}

var (
	errFull = errors.New("NATS takes them more slowly than they come")
	errLate = errors.New("they came behind later ones")
)

func (p *Peers) lose(err error) {
	p.lost.Add(1)
	p.tellLoss(err)
}

func (p *Peers) tellLoss(err error) {
	p.losses.Do(func() {
		p.opts.Logger.Warn("messages between nodes were lost", "error", err, "lost_so_far", p.Lost())
	})
}

// Lost is how many messages were lost so far: of this node's, and of others' that have come to it.
func (p *Peers) Lost() uint64 {
	lost := p.lost.Load()
	if s := p.feed.Load(); s != nil {
		dropped, _ := s.Dropped()
		lost += uint64(max(dropped, 0))
	}
	return lost
}

// MaxMessage is what NATS takes in one message.
func (p *Peers) MaxMessage() int { return int(p.conn.MaxPayload()) }

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
			p.number++
			if err := p.conn.Publish(p.subject, encode(m, place{p.claim.Since, p.number})); err != nil {
				p.lose(err)
			}
		}
	}
}

// Close sends what waits.
func (p *Peers) Close() error {
	p.stop()
	p.running.Wait()
	flush, cancel := context.WithTimeout(context.Background(), claimTimeout)
	defer cancel()
	err := p.conn.FlushWithContext(flush)
	p.conn.Close()
	if err != nil {
		return fmt.Errorf("sending the last messages to other nodes: %w", err)
	}
	return nil
}

// place is a message's in what a node sends. A node whose NATS server stands still goes to another one, and what the
// first still had comes behind what it sends there.
type place struct {
	Since  int64  `json:"since"` // when the node began, in Unix nanoseconds
	Number uint64 `json:"number"`
}

// header is what stands before a message's frame, behind its length in four bytes.
type header struct {
	place
	Lossy   bool            `json:"lossy,omitempty"`
	Key     []byte          `json:"key,omitempty"`
	Label   eventloop.Label `json:"label,omitempty"`
	Names   [][]byte        `json:"names,omitempty"` // JSON's strings would change what isn't UTF-8
	Clients []uint64        `json:"clients,omitempty"`
}

func encode(m *hub.PeerMessage, at place) []byte {
	h := header{place: at, Lossy: m.Lossy, Key: []byte(m.Key), Label: m.Label, Clients: m.Clients}
	for _, name := range m.Names {
		h.Names = append(h.Names, []byte(name))
	}
	head, _ := json.Marshal(h)
	b := make([]byte, 0, 4+len(head)+len(m.Wire))
	b = binary.BigEndian.AppendUint32(b, uint32(len(head)))
	return append(append(b, head...), m.Wire...)
}

var (
	errShort   = errors.New("it ends early")
	errNoFrame = errors.New("what it has for clients isn't one whole message")
)

func decode(b []byte) (*hub.PeerMessage, place, error) {
	if len(b) < 4 {
		return nil, place{}, errShort
	}
	size := binary.BigEndian.Uint32(b)
	if b = b[4:]; uint64(size)+2 > uint64(len(b)) { // a frame has two bytes at least
		return nil, place{}, errShort
	}
	var h header
	if err := strictjson.UnmarshalKnown(b[:size], &h); err != nil { // what a later version has added may be about whom it is for
		return nil, place{}, err
	}
	m := &hub.PeerMessage{Wire: b[size:], Lossy: h.Lossy, Key: string(h.Key), Label: h.Label, Clients: h.Clients}
	for _, name := range h.Names {
		m.Names = append(m.Names, string(name))
	}
	if !isMessage(m.Wire) {
		return nil, place{}, errNoFrame
	}
	return m, h.place, nil
}

// isMessage is whether the bytes are a frame as eventloop.NewFrame makes one. Anything else would cost whoever is sent it
// the connection.
func isMessage(wire []byte) bool {
	r := bytes.NewReader(wire)
	h, err := ws.ReadHeader(r)
	return err == nil && h.Fin && h.Rsv == 0 && !h.Masked && h.Length == int64(r.Len()) &&
		(h.OpCode == ws.OpBinary || h.OpCode == ws.OpText && utf8.Valid(wire[len(wire)-r.Len():]))
}
