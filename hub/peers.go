package hub

import (
	"github.com/busbar-ws/busbar/eventloop"
)

// Peers carry messages between the hubs of several nodes: what isn't in the change log, and may be lost.
// It is safe from any goroutine.
type Peers interface {
	// Send hands a message to the other nodes. It is called on event loops, and must not wait.
	Send(*PeerMessage)

	// Follow is called once, before the first Send. From then on deliver is called with what other nodes
	// send, in the order in which each of them sent it.
	Follow(deliver func(*PeerMessage))
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
}

// toPeers has the other nodes deliver a frame too.
func (h *Hub) toPeers(f *eventloop.Frame, to *eventloop.Audience) {
	if h.opts.Peers == nil {
		return
	}
	m := &PeerMessage{Wire: f.Wire(), Lossy: f.Lossy}
	if to != nil {
		m.Key, m.Label, m.Names, m.Clients = to.Key, to.Label, to.Names, to.Clients
	}
	h.opts.Peers.Send(m)
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
