package natspeers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/strictjson"
)

const (
	nodes        = 256             // numbers that there are
	claimTimeout = time.Second     // for another node with the same number to answer
	claimEvery   = 2 * time.Second // and how often it is asked for
	callTimeout  = 2 * time.Second // for a call that a node carries out
)

// claim is what a node says of itself to one with the same number: its clients' ids begin with that. The one
// that has it for longer keeps it.
type claim struct {
	Since   int64 // Unix nanoseconds
	Name    string
	Opening bool `json:",omitempty"` // has it not yet, and goes when anybody answers
}

func (c claim) before(o claim) bool {
	return c.Since < o.Since || c.Since == o.Since && c.Name < o.Name
}

// request is what a node is asked: for what it is, or to carry out a call.
type request struct {
	Claim *claim          `json:",omitempty"`
	Call  json.RawMessage `json:",omitempty"`
}

// call is a hub.PeerCall, whose names JSON's strings would change where they aren't UTF-8.
type call struct {
	Disconnect                  uint64 `json:",omitempty"`
	DisconnectUser              bool   `json:",omitempty"`
	Tenant, Entity, RowID, User []byte `json:",omitempty"`
}

func (p *Peers) nodeSubject(node int) string { return p.opts.Name + ".node." + strconv.Itoa(node) }

// open makes sure that the number is this node's alone. Of two that begin at once neither gets it.
func (p *Peers) open(ctx context.Context) error {
	if _, err := p.conn.Subscribe(p.nodeSubject(p.opts.Node), p.answer); err != nil {
		return fmt.Errorf("claiming node %d: %w", p.opts.Node, err)
	}
	opening := p.claim
	opening.Opening = true
	switch other, err := p.ask(ctx, opening); {
	case err != nil:
		return fmt.Errorf("asking for node %d: %w", p.opts.Node, err)
	case other != nil:
		return p.taken()
	}
	return nil
}

func (p *Peers) taken() error {
	return fmt.Errorf("another node of %s has the number %d", p.opts.Name, p.opts.Node)
}

// ask returns the claim of another node with this one's number, nil when there is none.
func (p *Peers) ask(ctx context.Context, mine claim) (*claim, error) {
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	data, _ := json.Marshal(request{Claim: &mine})
	m, err := p.conn.RequestWithContext(ctx, p.nodeSubject(p.opts.Node), data) // it isn't sent back to this connection
	switch {
	case errors.Is(err, nats.ErrNoResponders) || errors.Is(err, context.DeadlineExceeded):
		return nil, nil
	case err != nil:
		return nil, err
	}
	other := new(claim)
	return other, strictjson.Unmarshal(m.Data, other)
}

// holdNumber goes on to ask: a node that can't reach NATS doesn't answer one that begins meanwhile.
func (p *Peers) holdNumber(ctx context.Context) {
	ticker := time.NewTicker(claimEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if other, err := p.ask(ctx, p.claim); err == nil && other != nil {
			p.compare(*other)
		}
	}
}

func (p *Peers) compare(other claim) {
	if other.Opening || !other.before(p.claim) {
		return
	}
	select {
	case p.failed <- p.taken():
	default:
	}
}

// Failed has an error when another node has the same number, and has had it for longer.
func (p *Peers) Failed() <-chan error { return p.failed }

// answer is called with what other nodes ask this one.
func (p *Peers) answer(m *nats.Msg) {
	var r request
	if strictjson.Unmarshal(m.Data, &r) != nil {
		return
	}
	if r.Claim != nil {
		answer, _ := json.Marshal(p.claim)
		_ = m.Respond(answer)
		p.compare(*r.Claim)
	}
	var c call
	if r.Call == nil || strictjson.UnmarshalKnown(r.Call, &c) != nil { // what a later version has added may narrow it
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	done := false // as long as there is no hub there are no clients
	if carryOut := p.carry.Load(); carryOut != nil {
		done = (*carryOut)(ctx, &hub.PeerCall{
			Disconnect: c.Disconnect, DisconnectUser: c.DisconnectUser,
			Tenant: string(c.Tenant), Entity: string(c.Entity), RowID: string(c.RowID), User: string(c.User),
		})
	}
	_ = m.Respond(strconv.AppendBool(nil, done))
}

// Call asks all numbers when node is hub.AllNodes: NATS says at once where nobody is.
func (p *Peers) Call(ctx context.Context, node int, c *hub.PeerCall) (done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	what, _ := json.Marshal(call{
		Disconnect: c.Disconnect, DisconnectUser: c.DisconnectUser,
		Tenant: []byte(c.Tenant), Entity: []byte(c.Entity), RowID: []byte(c.RowID), User: []byte(c.User),
	})
	data, _ := json.Marshal(request{Call: what})
	inbox := p.conn.NewInbox()
	answers, err := p.conn.SubscribeSync(inbox)
	if err != nil {
		return false, fmt.Errorf("%w: %w", hub.ErrPeers, err)
	}
	defer func() { _ = answers.Unsubscribe() }()
	asked := 0
	for n := range nodes {
		if n == p.opts.Node || node != hub.AllNodes && n != node {
			continue
		}
		if err := p.conn.PublishRequest(p.nodeSubject(n), inbox, data); err != nil {
			return false, fmt.Errorf("%w: %w", hub.ErrPeers, err)
		}
		asked++
	}
	for range asked {
		m, err := answers.NextMsgWithContext(ctx)
		if errors.Is(err, nats.ErrNoResponders) {
			continue
		}
		var did bool
		if err == nil {
			err = strictjson.Unmarshal(m.Data, &did)
		}
		if err != nil {
			return done, fmt.Errorf("%w: %w", hub.ErrPeers, err)
		}
		done = done || did
	}
	return done, nil
}
