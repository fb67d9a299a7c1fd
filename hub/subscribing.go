package hub

import (
	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub/internal/message"
)

// subscribeRow has a worker ask whether the client may read the row and what it is now, when the
// client's turn has come.
func (h *Hub) subscribeRow(c *eventloop.Client, m message.Message) {
	if m.Entity == nil || m.RowID == nil {
		h.counters.ignored[ignoredMalformed].Add(1)
		return
	}
	key := keyOfRow(string(m.Entity), string(m.RowID))
	if q := stateOf(c).rows; q != nil && q.requests[key] != nil {
		return // the answer that it waits for will do
	}
	if c.Subscribed(key) || h.roomFor(c, len(key)) {
		h.askRow(c, key)
	}
}

// subscriptionBytes is how long the names of a client's subscriptions may be on average. A
// name may be as long as a message, so counting them alone would bound nothing.
const subscriptionBytes = 512

// roomFor is false when the client has as many subscriptions as one may have, or when their
// names are too long together.
func (h *Hub) roomFor(c *eventloop.Client, name int) bool {
	most, has, bytes := int(h.maxSubscriptions.Load()), c.Subscriptions(), c.SubscriptionBytes()
	if s, ok := c.Data.(*state); ok && s.rows != nil {
		has, bytes = has+s.rows.fresh, bytes+s.rows.bytes
	}
	if has >= most || bytes+name > max(most, 1000)*subscriptionBytes {
		h.counters.ignored[ignoredSubscriptions].Add(1)
		return false
	}
	return true
}

func (h *Hub) unsubscribeRow(c *eventloop.Client, m message.Message) {
	if m.Entity == nil || m.RowID == nil {
		h.counters.ignored[ignoredMalformed].Add(1)
		return
	}
	endRow(c, keyOfRow(string(m.Entity), string(m.RowID)))
}

// endRow ends a subscription to a row, whether it was answered or not.
func endRow(c *eventloop.Client, key string) {
	if s, ok := c.Data.(*state); ok && s.rows != nil {
		s.rows.forget(s.rows.requests[key])
	}
	c.Unsubscribe(key)
}

// subscribeTo is about a topic, or about the change events of one entity.
func (h *Hub) subscribeTo(c *eventloop.Client, m message.Message) {
	var key string
	switch {
	case m.Topic != nil:
		key = keyOfTopic(string(m.Topic))
	case m.Entity != nil:
		key = keyOfEntity(string(m.Entity))
	default:
		h.counters.ignored[ignoredMalformed].Add(1)
		return
	}
	if string(m.Kind) == "unsubscribe" {
		c.Unsubscribe(key)
	} else if h.roomFor(c, len(key)) {
		c.Subscribe(key)
	}
}
