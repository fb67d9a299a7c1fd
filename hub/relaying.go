package hub

import "github.com/busbar-ws/busbar/eventloop"

// relay passes a client's presence or topic message on, with the sender's name stamped on
// it. payload is the loop's read buffer: stamping copies it into the frame.
func (h *Hub) relay(c *eventloop.Client, m clientMessage, payload []byte) {
	if h.opts.Relays == RelayOff {
		h.counters.ignored[ignoredRelaysOff].Add(1)
		return
	}
	if !c.Spend(eventloop.RateRelays, 1) {
		return
	}
	if m.forged {
		h.counters.ignored[ignoredForged].Add(1)
		return
	}
	id := identityOf(c)
	from := id.From()
	frame := textFrame(m.stamp.apply(roomFor(len(payload)+len(`,"from":`)+quotedSize(from)), payload, from))
	frame.Lossy = true
	h.counters.relayed.Add(1)
	to := h.peers(id)
	if string(m.kind) == "topic" && m.topic != nil {
		to = h.onTopic(string(m.topic), to)
	}
	h.engine.Publish(frame, to)
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
