package main

import (
	"net"

	"github.com/lxzan/gws"
)

// gwsHub broadcasts as gws's README says: a Broadcaster per message, which encodes the frame
// once and appends it to each connection's unbounded write queue; a goroutine per connection
// that has something to write runs while the queue isn't empty.
type gwsHub struct {
	// OnPing, OnPong and OnMessage do what gws's own handler does.
	gws.BuiltinEventHandler
	roster[*gws.Conn]
}

func (h *gwsHub) serve(ln net.Listener) error {
	// Compression is off unless PermessageDeflate is set.
	return gws.NewServer(h, nil).RunListener(countingListener{ln, &h.sends})
}

// OnOpen is gws.Event's.
func (h *gwsHub) OnOpen(c *gws.Conn) { h.add(c) }

// OnClose is gws.Event's.
func (h *gwsHub) OnClose(c *gws.Conn, _ error) { h.remove(c) }

// OnMessage is gws.Event's. The bench's clients say nothing that matters.
func (h *gwsHub) OnMessage(_ *gws.Conn, m *gws.Message) { m.Close() }

// broadcast counts as delivered what the library has accepted: it doesn't tell when a queued
// message was written.
func (h *gwsHub) broadcast(payload []byte) {
	b := gws.NewBroadcaster(gws.OpcodeBinary, payload)
	defer b.Close()
	for _, c := range h.all() {
		if b.Broadcast(c) == nil {
			h.deliveries.Add(1)
		}
	}
}
