package hub

import (
	"context"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/internal/fairqueue"
	"github.com/busbar-ws/busbar/wsproto"
)

// rowAsked is one subscription to a row that is being decided about. The built-in store
// has rows of the client's tenant and rows of nobody's; which of the two it will be isn't
// known before the answer, so both keys are pending until then.
type rowAsked struct {
	identity      *Identity
	entity, rowID string
	keys          []string
	tenants       []string // of the keys
	tickets       []uint64
	deflate       bool // the client takes compressed messages
	task          *fairqueue.Task
}

// bytes is about what is kept of it while it waits, for the keys have the names again.
func (a *rowAsked) bytes() int { return len(a.entity) + len(a.rowID) }

// cancel ends what was begun.
func (a *rowAsked) cancel(c *eventloop.Client) {
	for i, key := range a.keys {
		c.CancelSubscription(key, a.tickets[i])
	}
}

func (h *Hub) rowTenants(id *Identity) []string {
	if h.rows == nil || id.Tenant == "" {
		return []string{""}
	}
	return []string{id.Tenant, ""}
}

// subscribeRow marks the subscription pending, so that no update is missed, and then has
// it asked off the loops whether that is allowed and what the row is now.
func (h *Hub) subscribeRow(c *eventloop.Client, m clientMessage) {
	if m.entity == nil || m.rowID == nil {
		h.counters.ignored[ignoredMalformed].Add(1)
		return
	}
	id := identityOf(c)
	asked := &rowAsked{identity: id, entity: string(m.entity), rowID: string(m.rowID), tenants: h.rowTenants(id)}
	asked.deflate = c.Deflates()
	if !h.roomFor(c, asked.bytes()) { // of the two keys one goes with the answer
		return
	}
	for _, tenant := range asked.tenants {
		key := keyOfRow(tenant, asked.entity, asked.rowID)
		ticket, ok := c.SubscribePending(key)
		if !ok {
			asked.cancel(c)
			return // asked already, and the answer is on its way
		}
		asked.keys, asked.tickets = append(asked.keys, key), append(asked.tickets, ticket)
	}
	h.fetch(c, asked)
}

// subscriptionBytes is how long the names of a client's subscriptions may be on average. A
// name may be as long as a message, so counting them alone would bound nothing.
const subscriptionBytes = 512

// roomFor is false when the client has as many subscriptions as one may have, or when their
// names are too long together.
func (h *Hub) roomFor(c *eventloop.Client, name int) bool {
	most := h.opts.MaxSubscriptions
	if c.Subscriptions() >= most || c.SubscriptionBytes()+name > max(most, 1000)*subscriptionBytes {
		h.counters.ignored[ignoredSubscriptions].Add(1)
		return false
	}
	return true
}

func (h *Hub) fetch(c *eventloop.Client, asked *rowAsked) {
	client, err := c.ID(), error(ErrOverloaded)
	if !h.engine.Overloaded() {
		asked.task, err = h.queues.fetches.Go(h.ownerOf(c), taskBytes+asked.bytes(), func(ctx context.Context) {
			which, frame, version := h.fetchSnapshot(ctx, asked)
			h.engine.Post(client, func(c *eventloop.Client) { h.fetched(c, asked, which, frame, version) })
		})
	}
	if err != nil {
		h.engine.Post(client, tooManySubscriptions)
		return
	}
	s := stateOf(c)
	if s.fetching == nil {
		s.fetching = make(map[*rowAsked]struct{})
	}
	s.fetching[asked] = struct{}{}
}

func tooManySubscriptions(c *eventloop.Client) {
	c.Close(wsproto.StatusTryAgainLater, "too many subscriptions at once, try again later", eventloop.CauseServerClosed)
}

// What fetchSnapshot returns in place of an index.
const (
	rowDenied = -1 // the row isn't there, or isn't for this client
	rowFailed = -2 // nobody knows
	rowTooBig = -3 // for what is free of the buffer memory
)

// fetchSnapshot runs off the loops. which is the index of the key that the row has.
func (h *Hub) fetchSnapshot(ctx context.Context, asked *rowAsked) (which int, frame *eventloop.Frame, version uint64) {
	if h.rows != nil {
		for i, tenant := range asked.tenants {
			if frame, version, ok := h.stored(tenant, asked.entity, asked.rowID, asked.deflate); ok {
				return i, frame, version
			}
		}
		return rowDenied, nil, 0
	}
	ctx, cancel := context.WithTimeout(ctx, h.opts.SnapshotTimeout)
	defer cancel()
	payload, ok, err := h.callSnapshots(ctx, asked)
	if err != nil {
		h.counters.snapshotErrors.Add(1)
		h.fetchTrouble.warn(h.opts.Logger, time.Now(), "fetching a snapshot failed", "entity", shortened(asked.entity), "error", err)
		return rowFailed, nil, 0
	}
	if !ok {
		return rowDenied, nil, 0
	}
	release, ok := h.engine.Hold(len(payload))
	if !ok {
		h.counters.snapshotErrors.Add(1)
		return rowTooBig, nil, 0
	}
	defer release()
	if frame, err = h.framed(asked, payload); err != nil {
		return rowFailed, nil, 0
	}
	h.engine.Count(frame)
	return 0, frame, 0
}

// framed encodes one snapshot at a time: for a moment each is there three times.
func (h *Hub) framed(asked *rowAsked, payload []byte) (frame *eventloop.Frame, err error) {
	h.framing.Lock()
	defer h.framing.Unlock()
	if frame, err = rowFrame(Snapshot, asked.entity, asked.rowID, payload); err == nil && asked.deflate {
		h.engine.Deflate(frame)
	}
	return frame, err
}

// stored reads a row's snapshot, behind whoever is publishing it.
func (h *Hub) stored(tenant, entity, rowID string, deflate bool) (f *eventloop.Frame, version uint64, ok bool) {
	if f, version, ok = h.storedFrame(tenant, entity, rowID, deflate); ok && deflate {
		h.engine.Deflate(f)
	}
	return f, version, ok
}

func (h *Hub) storedFrame(tenant, entity, rowID string, deflate bool) (f *eventloop.Frame, version uint64, ok bool) {
	h.storing.Lock()
	defer h.storing.Unlock()
	return h.rows.frame(tenant, entity, rowID, deflate)
}

// fetched runs on the client's loop, in order with what is published.
func (h *Hub) fetched(c *eventloop.Client, asked *rowAsked, which int, frame *eventloop.Frame, version uint64) {
	delete(stateOf(c).fetching, asked)
	for i, key := range asked.keys {
		if i != which {
			c.CancelSubscription(key, asked.tickets[i])
		}
	}
	switch which {
	case rowDenied:
		h.counters.denied.Add(1)
	case rowTooBig:
		tooManySubscriptions(c)
	}
	if which < 0 {
		return
	}
	released := c.ReleaseSubscription(asked.keys[which], asked.tickets[which], frame, version)
	if released == eventloop.ReleasedRetry {
		asked.keys, asked.tickets, asked.tenants = asked.keys[which:which+1], asked.tickets[which:which+1], asked.tenants[which:which+1]
		h.fetch(c, asked)
	}
}

func (h *Hub) unsubscribeRow(c *eventloop.Client, m clientMessage) {
	if m.entity == nil || m.rowID == nil {
		h.counters.ignored[ignoredMalformed].Add(1)
		return
	}
	for _, tenant := range h.rowTenants(identityOf(c)) {
		c.Unsubscribe(keyOfRow(tenant, string(m.entity), string(m.rowID)))
	}
}

// subscribeTo is about a topic, or about the change events of one entity.
func (h *Hub) subscribeTo(c *eventloop.Client, m clientMessage) {
	var key string
	switch {
	case m.topic != nil:
		key = keyOfTopic(string(m.topic))
	case m.entity != nil:
		key = keyOfEntity(string(m.entity))
	default:
		h.counters.ignored[ignoredMalformed].Add(1)
		return
	}
	if string(m.kind) == "unsubscribe" {
		c.Unsubscribe(key)
	} else if h.roomFor(c, len(key)) {
		c.Subscribe(key)
	}
}

// rowFrame encodes a row frame and the WebSocket frame around it.
func rowFrame(kind RowKind, entity, rowID string, payload []byte) (*eventloop.Frame, error) {
	b, err := AppendRowFrame(nil, kind, entity, rowID, payload)
	if err != nil {
		return nil, err
	}
	return eventloop.NewFrame(ws.OpBinary, b), nil
}
