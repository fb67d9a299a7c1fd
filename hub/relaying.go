package hub

import (
	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/rates"
)

// relay passes a client's presence or topic message on, with the sender's name stamped on
// it. payload is the loop's read buffer: stamping copies it into the frame.
func (h *Hub) relay(c *eventloop.Client, m clientMessage, payload []byte) {
	if !c.Spend(rates.Relays, 1) {
		return
	}
	if m.forged {
		h.counters.ignored[ignoredForged].Add(1)
		return
	}
	stamped, err := StampFrom(nil, payload, identityOf(c).From())
	if err != nil {
		h.counters.ignored[ignoredMalformed].Add(1)
		return
	}
	frame := eventloop.NewFrame(ws.OpText, stamped)
	frame.Lossy = true
	h.counters.relayed.Add(1)
	var to *eventloop.Audience
	if string(m.kind) == "topic" && m.topic != nil && h.opts.Routing == RouteSubscribed {
		to = &eventloop.Audience{Key: keyOfTopic(string(m.topic))}
	}
	h.engine.Publish(frame, to)
}
