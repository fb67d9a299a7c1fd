package eventloop

import (
	"github.com/busbar-ws/busbar/eventloop/internal/budget"
	"github.com/busbar-ws/busbar/subs"
	"github.com/busbar-ws/busbar/wsproto"
)

// A subscription whose authorisation is under way is in the index already, so that no
// update can be missed, but what arrives for it is kept here until the snapshot is there.
type pendingSubscription struct {
	ticket uint64
	frames []*Frame
	bytes  int
	lost   bool // something came that isn't kept: a newer snapshot is needed

	// live is for a client that was subscribed already. What has no version it is sent at once,
	// and again behind the snapshot; the rest at once too when it is more than can be kept.
	live, ahead bool
}

type pendingKey struct {
	slot uint32
	name string
}

// Subscribe adds the client to a key's subscribers. It returns false when it was there.
func (c *Client) Subscribe(name string) bool {
	return c.state == open && c.loop.subscribe(c, name)
}

func (l *Loop) subscribe(c *Client, name string) bool {
	added := l.subs.Subscribe(c.slot, name)
	l.countSubscriptions()
	if !l.engine.budget.Takes(0) {
		c.Close(wsproto.StatusTryAgainLater, "over capacity, try again later", CauseMemory)
		c.set(flagDiscardInput)
		return false
	}
	return added
}

// countSubscriptions is called when some began or ended.
func (l *Loop) countSubscriptions() {
	l.counters.Subscriptions.Store(int64(l.subs.Count()))
	size := l.subs.Size()
	l.engine.budget.Add(budget.Subscriptions, int64(size-l.subs.counted))
	if size > l.subs.counted {
		l.engine.budget.Judge()
	}
	l.subs.counted = size
}

// Subscribed is whether the client is subscribed to the key, pending or not.
func (c *Client) Subscribed(name string) bool { return c.loop.subs.Has(c.slot, name) }

// SubscribePending subscribes and holds back what arrives for the key until
// ReleaseSubscription is called with the ticket. A client that was subscribed stays so,
// and is given a fresh snapshot in its place among the updates; of those without a Version, whose
// place isn't known, it gets each at once, and those that came meanwhile again.
func (c *Client) SubscribePending(name string) (ticket uint64, ok bool) {
	if c.state != open {
		return 0, false
	}
	l := c.loop
	key := pendingKey{c.slot, name}
	if l.subs.pending[key] != nil {
		return 0, false // the answer that is on its way will do
	}
	fresh := l.subscribe(c, name)
	if c.state != open {
		return 0, false
	}
	l.subs.tickets++
	l.subs.pending[key] = &pendingSubscription{ticket: l.subs.tickets, live: !fresh}
	l.engine.budget.Add(budget.Queues, pendingCost(name))
	return l.subs.tickets, true
}

// Released says what became of a pending subscription.
type Released uint8

// ReleaseSubscription's results.
const (
	ReleasedNone  Released = iota // unsubscribed meanwhile, or gone
	ReleasedLive                  // live from here on, behind the snapshot
	ReleasedAgain                 // live, and the snapshot was of no use: ask for a newer one
)

// ReleaseSubscription sends the snapshot, unless it is nil, and then what was held back. Frames
// whose Version is known and not above the snapshot's are in it already and are left out;
// a snapshot version of 0 leaves none out.
func (c *Client) ReleaseSubscription(name string, ticket uint64, snapshot *Frame, version uint64) Released {
	l := c.loop
	key := pendingKey{c.slot, name}
	p := l.subs.pending[key]
	if c.state != open || p == nil || p.ticket != ticket {
		return ReleasedNone
	}
	delete(l.subs.pending, key)
	l.engine.budget.Add(budget.Queues, -pendingCost(name))
	if p.lost {
		return ReleasedAgain
	}
	if snapshot != nil {
		snapshot.PlaceAmong(&l.engine.newest)
		l.engine.Count(snapshot)
		l.enqueue(c, snapshot, true)
	}
	for _, f := range p.frames {
		if c.state == open && (f.Version == 0 || f.Version > version) {
			l.enqueue(c, f, false)
		}
	}
	return ReleasedLive
}

// Unsubscribe ends a subscription, pending or not.
func (c *Client) Unsubscribe(name string) bool {
	c.loop.forgetPending(pendingKey{c.slot, name})
	removed := c.loop.subs.Unsubscribe(c.slot, name)
	c.loop.countSubscriptions()
	return removed
}

// CancelSubscription takes back SubscribePending. A client that was subscribed before stays so.
// With another ticket it does nothing: the client has unsubscribed and asked again since.
func (c *Client) CancelSubscription(name string, ticket uint64) {
	l := c.loop
	key := pendingKey{c.slot, name}
	p := l.subs.pending[key]
	switch {
	case p == nil || p.ticket != ticket:
	case p.live:
		l.sendPending(c, p)
		l.forgetPending(key)
	default:
		c.Unsubscribe(name)
	}
}

// Subscriptions is how many keys the client is subscribed to.
func (c *Client) Subscriptions() int { return c.loop.subs.CountOf(c.slot) }

// SubscriptionAt is one of those keys; i is below Subscriptions. When one ends the last takes its place,
// and a new one comes behind all.
func (c *Client) SubscriptionAt(i int) string { return c.loop.subs.NameAt(c.slot, i) }

// SubscriptionBytes is how long the names of those keys are together.
func (c *Client) SubscriptionBytes() int { return c.loop.subs.BytesOf(c.slot) }

// buffer keeps f for a pending subscription; false when the client is to have it now.
func (l *Loop) buffer(c *Client, k *subs.Key, f *Frame) bool {
	if len(l.subs.pending) == 0 {
		return false
	}
	p := l.subs.pending[pendingKey{c.slot, k.Name()}]
	if p == nil {
		return false
	}
	if p.bytes+f.Size() > l.opts.Slow.LagBytes && len(p.frames) > 0 || !l.engine.budget.Takes(0) {
		l.overflowPending(c, p)
	}
	if !p.lost {
		p.frames = append(p.frames, f)
		p.bytes += f.Size()
	}
	return !p.sent(f)
}

// supersede is for a client that a row was published to others than it. What is being fetched for
// it may be what it may not read any more.
func (l *Loop) supersede(c *Client, k *subs.Key) {
	if len(l.subs.pending) == 0 {
		return
	}
	if p := l.subs.pending[pendingKey{c.slot, k.Name()}]; p != nil {
		l.losePending(c, p)
	}
}

func (l *Loop) leaveSubscriptions(c *Client) {
	for name := range l.pendingOf(c) {
		l.forgetPending(pendingKey{c.slot, name})
	}
	l.subs.Leave(c.slot)
	l.countSubscriptions()
}
