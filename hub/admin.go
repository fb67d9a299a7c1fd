package hub

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop"
)

// ClientCount is how many clients are connected and authenticated.
func (h *Hub) ClientCount() int { return h.engine.Clients() }

// SubscriptionCount is how many pairs of a client and what it subscribed to there are.
func (h *Hub) SubscriptionCount() int { return h.engine.Stats().Subscriptions }

// Clients lists this node's clients with an id above after, in the order of ids, at most limit.
func (h *Hub) Clients(ctx context.Context, after uint64, limit int) ([]ClientInfo, error) {
	if limit <= 0 {
		return nil, nil
	}
	byLoop := make([][]ClientInfo, h.Loops()) // the lowest ids, ascending
	err := h.engine.Visit(ctx, nil, func(c *eventloop.Client) {
		lowest := &byLoop[c.Loop().Index()]
		full := len(*lowest) == limit
		if c.ID() <= after || full && c.ID() > (*lowest)[limit-1].ID {
			return
		}
		if full {
			*lowest = (*lowest)[:limit-1]
		}
		info := infoOf(c)
		at, _ := slices.BinarySearchFunc(*lowest, info, byID)
		*lowest = slices.Insert(*lowest, at, info)
	})
	if err != nil {
		return nil, err
	}
	all := slices.Concat(byLoop...)
	slices.SortFunc(all, byID)
	return all[:min(limit, len(all))], nil
}

func byID(a, b ClientInfo) int { return cmp.Compare(a.ID, b.ID) }

func infoOf(c *eventloop.Client) ClientInfo {
	id := identityOf(c)
	return ClientInfo{
		ID: c.ID(), UserID: id.UserID, Tenant: id.Tenant, Admin: id.Admin,
		Address: c.Addr().String(), ConnectedAt: c.OpenedAt(), Subscriptions: c.Subscriptions(),
	}
}

const byAdministrator = "disconnected by an administrator"

// Disconnect ends one connection, at whichever node it is, with close code 1008; false when there is none of that id.
func (h *Hub) Disconnect(ctx context.Context, id uint64) (bool, error) {
	if node := eventloop.NodeOf(id); node != h.opts.Loops.Node && h.opts.Peers != nil {
		return h.opts.Peers.Call(ctx, node, &PeerCall{Disconnect: id})
	}
	return h.disconnect(ctx, id), nil
}

func (h *Hub) disconnect(ctx context.Context, id uint64) bool {
	found := make(chan bool, 1)
	err := h.engine.Each(ctx, func(l *eventloop.Loop) {
		if c := l.Find(id); c != nil && c.Open() {
			c.Close(ws.StatusPolicyViolation, byAdministrator, eventloop.CauseServerClosed)
			found <- true
		}
	})
	return err == nil && len(found) == 1
}

// DisconnectUser ends all connections of a user, at all nodes, with close code 1008; of one tenant's user unless tenant
// is empty. Those whose token is being looked up right now are ended too. Whoever has a token that is still good may
// connect again.
func (h *Hub) DisconnectUser(ctx context.Context, tenant, user string) error {
	c := &PeerCall{DisconnectUser: true, Tenant: tenant, User: user}
	err := h.disconnectUser(ctx, c)
	if h.opts.Peers != nil {
		_, elsewhere := h.opts.Peers.Call(ctx, AllNodes, c)
		err = errors.Join(err, elsewhere)
	}
	return err
}

func (h *Hub) disconnectUser(ctx context.Context, call *PeerCall) error {
	match := func(id *Identity) bool {
		return id.UserID == call.User && (call.Tenant == "" || id.Tenant == call.Tenant)
	}
	h.revoked.Add(match, time.Now())
	theirs := &eventloop.Audience{Label: eventloop.LabelUser, Names: []string{call.User}}
	return h.engine.Visit(ctx, theirs, func(c *eventloop.Client) {
		if match(identityOf(c)) {
			c.Close(ws.StatusPolicyViolation, byAdministrator, eventloop.CauseServerClosed)
		}
	})
}

// EndRowSubscriptions ends the subscriptions to a row of all of a user's connections, also those that
// are being decided about, at all nodes; of one tenant's user unless tenant is empty. They are told nothing, and may ask
// again.
func (h *Hub) EndRowSubscriptions(ctx context.Context, tenant, entity, rowID, user string) error {
	c := &PeerCall{Tenant: tenant, Entity: entity, RowID: rowID, User: user}
	err := h.endRowSubscriptions(ctx, c)
	if h.opts.Peers != nil {
		_, elsewhere := h.opts.Peers.Call(ctx, AllNodes, c)
		err = errors.Join(err, elsewhere)
	}
	return err
}

func (h *Hub) endRowSubscriptions(ctx context.Context, call *PeerCall) error {
	key := keyOfRow(call.Entity, call.RowID)
	theirs := &eventloop.Audience{Label: eventloop.LabelUser, Names: []string{call.User}}
	return h.engine.Visit(ctx, theirs, func(c *eventloop.Client) {
		if call.Tenant == "" || identityOf(c).Tenant == call.Tenant {
			endRow(c, key)
		}
	})
}

// CloseIdentity ends every connection of this node whose identity matches, with close code 1008 and
// the reason. Identities that are being looked up for a connection right now are
// matched when they arrive. match is called on the event loops; an identity at which it
// panics matches.
func (h *Hub) CloseIdentity(match func(*Identity) bool, reason string) {
	h.revoked.Add(func(id *Identity) bool { return h.matches(match, id) }, time.Now())
	_ = h.engine.Visit(h.background, nil, func(c *eventloop.Client) {
		if h.matches(match, identityOf(c)) {
			c.Close(ws.StatusPolicyViolation, reason, eventloop.CauseServerClosed)
		}
	})
}
