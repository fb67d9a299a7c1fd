package hub

import (
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop"
)

// relay passes a client's presence or topic message on, with the sender's name stamped on
// it. payload is the loop's read buffer: stamping copies it into the frame.
func (h *Hub) relay(c *eventloop.Client, m clientMessage, payload []byte) {
	id := identityOf(c)
	if !h.mayRelay(c, id) {
		h.counters.rateLimited.Add(1)
		return
	}
	stamped, err := StampFrom(nil, payload, id.From())
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

func (h *Hub) mayRelay(c *eventloop.Client, id *Identity) bool {
	if h.opts.RelayRate < 0 || id.Admin {
		return true
	}
	return stateOf(c).relays.take(time.Now(), h.opts.RelayRate, float64(h.opts.RelayBurst))
}

// bucket is a token bucket that starts full. Owned by its client's loop.
type bucket struct {
	used float64   // tokens that are missing
	at   time.Time // when used was right
}

func (b *bucket) take(now time.Time, rate, burst float64) bool {
	b.used = max(0, b.used-rate*now.Sub(b.at).Seconds())
	b.at = now
	if b.used+1 > burst {
		return false
	}
	b.used++
	return true
}
