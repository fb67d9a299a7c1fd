package hub

import (
	"context"
	"errors"
	"fmt"

	"github.com/busbar-ws/busbar/eventloop"
)

// Peers carry messages between the hubs of several nodes: what isn't in the change log, and may be lost.
// It is safe from any goroutine.
type Peers interface {
	// Send hands a message to the other nodes. It is called on event loops, and must not wait.
	Send(*PeerMessage)

	// MaxMessage is how many bytes a message may have, PeerMessage.size in all.
	MaxMessage() int

	// Lost is how many messages were lost so far, of those that were sent here or came here.
	Lost() uint64

	// Call has the node of that number, or AllNodes but this one, carry something out. It returns when they have;
	// done is whether one of them had something to do. ErrPeers says that one that there is, as far as is
	// known, couldn't be reached.
	Call(ctx context.Context, node int, c *PeerCall) (done bool, err error)

	// Follow is called once, before the first Send. From then on deliver is called with what other nodes
	// send, in the order in which each of them sent it, and carryOut with what they ask.
	Follow(deliver func(*PeerMessage), carryOut func(context.Context, *PeerCall) (done bool))
}

// AllNodes is every other node.
const AllNodes = -1

// ErrPeers is wrapped by errors about other nodes that couldn't be reached.
var ErrPeers = errors.New("another node can't be reached")

// PeerCall is something that a node does with its clients.
type PeerCall struct {
	Disconnect     uint64 // the client of this id
	DisconnectUser bool   // all clients of User

	Tenant, Entity, RowID, User string // with neither of the above: EndRowSubscriptions
}

// PeerMessage is a message for clients of any node. It is immutable.
type PeerMessage struct {
	Wire  []byte // the WebSocket frame
	Lossy bool   // the first to go where there is no room, as relays are

	// Whom it is for, as eventloop.Audience has it; everyone when all are zero.
	Key     string
	Label   eventloop.Label
	Names   []string
	Clients []uint64

	frame *eventloop.Frame // of Wire, which counts as buffered for as long as it is there
}

// size is about what the message takes, no less.
func (m *PeerMessage) size() int {
	const fixed, name, client = 128, 8, 20
	n := fixed + len(m.Wire) + 2*len(m.Key) + client*len(m.Clients)
	for _, s := range m.Names {
		n += 2*len(s) + name
	}
	return n
}

func peerMessage(wire []byte, to *eventloop.Audience) *PeerMessage {
	m := &PeerMessage{Wire: wire}
	if to != nil {
		m.Key, m.Label, m.Names, m.Clients = to.Key, to.Label, to.Names, to.Clients
	}
	return m
}

// fitsPeers is ErrTooLarge for what other nodes' clients couldn't be sent.
func (h *Hub) fitsPeers(wire []byte, to *eventloop.Audience) error {
	if h.opts.Peers == nil {
		return nil
	}
	if size, most := peerMessage(wire, to).size(), h.opts.Peers.MaxMessage(); size > most {
		return fmt.Errorf("%w: with its audience it has %d bytes, of which other nodes can be sent %d (max_payload of NATS)", ErrTooLarge, size, most)
	}
	return nil
}

// toPeers has the other nodes deliver a frame too.
func (h *Hub) toPeers(f *eventloop.Frame, to *eventloop.Audience) {
	if h.opts.Peers != nil {
		m := peerMessage(f.Wire(), to)
		m.Lossy, m.frame = f.Lossy, f
		h.opts.Peers.Send(m)
	}
}

// forPeer does what another node asks.
func (h *Hub) forPeer(ctx context.Context, c *PeerCall) (done bool) {
	defer h.survive("doing what another node asks")
	switch {
	case c.Disconnect != 0:
		return h.disconnect(ctx, c.Disconnect)
	case c.DisconnectUser:
		return h.disconnectUser(ctx, c) == nil
	}
	return h.endRowSubscriptions(ctx, c) == nil
}

// fromPeer delivers what another node sent. It counts nowhere as published.
func (h *Hub) fromPeer(m *PeerMessage) {
	defer h.survive("delivering what another node sent")
	f := eventloop.FrameOf(m.Wire)
	f.Lossy = m.Lossy
	var to *eventloop.Audience
	if m.Key != "" || len(m.Names) > 0 || len(m.Clients) > 0 {
		to = &eventloop.Audience{Key: m.Key, Label: m.Label, Names: m.Names, Clients: m.Clients}
	}
	h.engine.Publish(f, to)
}
