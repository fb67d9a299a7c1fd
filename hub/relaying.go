package hub

import (
	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub/internal/message"
)

// relay passes a client's presence or topic message on, with the sender's name stamped on
// it. payload is the loop's read buffer: stamping copies it into the frame.
func (h *Hub) relay(c *eventloop.Client, m message.Message, payload []byte) {
	if h.opts.Relays == RelayOff {
		h.counters.ignored[ignoredRelaysOff].Add(1)
		return
	}
	if !c.Spend(eventloop.RateRelays, 1) {
		return
	}
	if m.Forged {
		h.counters.ignored[ignoredForged].Add(1)
		return
	}
	id := identityOf(c)
	from := id.From()
	frame := message.Frame(m.Stamp.Apply(message.Room(len(payload)+len(`,"from":`)+message.QuotedSize(from)), payload, from))
	frame.Lossy, frame.Kind = true, eventloop.KindPresence
	if string(m.Kind) == "topic" {
		frame.Kind = eventloop.KindTopic
	}
	h.counters.relayed.Add(1)
	to := h.peers(id)
	if string(m.Kind) == "topic" && m.Topic != nil {
		to = h.onTopic(string(m.Topic), to)
	}
	h.engine.Publish(frame, to)
	h.toPeers(frame, to)
}

// peers are those whom a client's relays and its leave reach; nil is everyone.
func (h *Hub) peers(id *Identity) *eventloop.Audience {
	switch {
	case h.opts.Relays == RelayAll || id.Admin:
		return nil
	case id.Tenant == "":
		return withoutTenant
	}
	return ofTenant(id.Tenant)
}

// withoutTenant is shared: where nobody has a tenant a relay makes no audience of its own.
var withoutTenant = ofTenant("")

func ofTenant(tenant string) *eventloop.Audience {
	return &eventloop.Audience{Label: eventloop.LabelTenant, Names: []string{tenant}}
}

// onTopic is an audience narrowed to the topic's subscribers, if it is to be (Options.Routing).
func (h *Hub) onTopic(topic string, to *eventloop.Audience) *eventloop.Audience {
	if h.opts.Routing != RouteSubscribed {
		return to
	}
	subscribers := &eventloop.Audience{Key: keyOfTopic(topic)}
	if to != nil {
		subscribers.Label, subscribers.Names = to.Label, to.Names
	}
	return subscribers
}

// ErrNotObject is what StampFrom returns for a message that isn't a JSON object.
var ErrNotObject = message.ErrNotObject

// StampFrom appends a JSON object to dst as it is relayed: every top-level key that decodes to "from" in
// capitals or small letters is taken out, however it is spelled, and "from" put in as the last one
// (docs/protocol.md section 2). All else stays byte for byte. It returns dst and ErrNotObject for what isn't a
// valid JSON object, keeps neither slice, and they must not overlap.
func StampFrom(dst, object []byte, from string) ([]byte, error) {
	return message.StampFrom(dst, object, from)
}
