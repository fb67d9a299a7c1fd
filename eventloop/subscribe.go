package eventloop

import (
	"iter"

	"github.com/busbar-ws/busbar/eventloop/internal/budget"
	"github.com/busbar-ws/busbar/eventloop/internal/delivery"
	"github.com/busbar-ws/busbar/eventloop/internal/mailbox"
	"github.com/busbar-ws/busbar/subs"
	"github.com/busbar-ws/busbar/wsproto"
)

// pendingBytes is what a pending subscription takes beside frames and its name: its places in the loop's
// maps, and with those who decide about it.
const pendingBytes = 384

func pendingCost(name string) int64 { return int64(pendingBytes + 3*len(name)) }

// pending is the client's pending subscription to a name, nil when there is none.
func (l *Loop) pending(c *Client, name string) *delivery.Pending {
	if len(l.subs.pending) == 0 {
		return nil
	}
	return l.subs.pending[delivery.PendingKey{Slot: c.slot, Name: name}]
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
// and is given a fresh snapshot in its place among the updates; of those without a Row, whose
// place isn't known, it gets each at once, and those that came meanwhile again.
func (c *Client) SubscribePending(name string) (ticket uint64, ok bool) {
	if c.state != open {
		return 0, false
	}
	l := c.loop
	if l.pending(c, name) != nil {
		return 0, false // the answer that is on its way will do
	}
	fresh := l.subscribe(c, name)
	if c.state != open {
		return 0, false
	}
	l.subs.tickets++
	l.subs.pending[delivery.PendingKey{Slot: c.slot, Name: name}] = &delivery.Pending{Ticket: l.subs.tickets, Live: !fresh}
	l.engine.budget.Add(budget.Queues, pendingCost(name))
	return l.subs.tickets, true
}

// Released says what became of a pending subscription.
type Released uint8

// ReleaseSubscription's results.
const (
	ReleasedNone  Released = iota // unsubscribed meanwhile, or gone
	ReleasedLive                  // live from here on, behind the snapshot
	ReleasedAgain                 // still pending, and the snapshot was of no use: ask for a newer one, or cancel
)

// ReleaseSubscription sends the snapshot, unless it is nil, and then what was held back. Frames
// whose version is known (Frame.Row) and not above the snapshot's are in it already and are left out;
// a snapshot version of 0 leaves none out.
func (c *Client) ReleaseSubscription(name string, ticket uint64, snapshot *Frame, version uint64) Released {
	l := c.loop
	p := l.pending(c, name)
	if c.state != open || p == nil || p.Ticket != ticket {
		return ReleasedNone
	}
	if p.Lost {
		p.Lost = false
		return ReleasedAgain
	}
	l.forgetPending(c, name)
	if snapshot != nil {
		snapshot.PlaceAmong(&l.engine.newest)
		l.engine.Count(snapshot)
		l.enqueue(c, snapshot, true)
	}
	for _, f := range p.Frames {
		if c.state == open && (f.Row == nil || f.Row.Version > version) {
			l.enqueue(c, f, false)
		}
	}
	return ReleasedLive
}

// Unsubscribe ends a subscription, pending or not.
func (c *Client) Unsubscribe(name string) bool {
	c.loop.forgetPending(c, name)
	removed := c.loop.subs.Unsubscribe(c.slot, name)
	c.loop.countSubscriptions()
	return removed
}

// CancelSubscription takes back SubscribePending. A client that was subscribed before stays so.
// With another ticket it does nothing: the client has unsubscribed and asked again since.
func (c *Client) CancelSubscription(name string, ticket uint64) {
	l := c.loop
	switch p := l.pending(c, name); {
	case p == nil || p.Ticket != ticket:
	case p.Live:
		l.forgetPending(c, name)
		for _, f := range p.Frames {
			if !p.Sent(f) {
				l.enqueue(c, f, false)
			}
		}
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
	p := l.pending(c, k.Name())
	if p == nil {
		return false
	}
	if !l.roomPending(p, f) {
		l.counters.LagSuperseded.Add(uint64(p.Supersede(f)))
		if len(p.Frames) > 0 && !l.roomPending(p, f) && p.Overflow() {
			l.missed(c, true, Gap{})
		}
	}
	p.Keep(f)
	return !p.Sent(f)
}

func (l *Loop) leaveSubscriptions(c *Client) {
	for name := range l.pendingOf(c) {
		l.forgetPending(c, name)
	}
	l.subs.Leave(c.slot)
	l.countSubscriptions()
}

// pendingOf yields a client's subscriptions that are being decided about. They may end meanwhile.
func (l *Loop) pendingOf(c *Client) iter.Seq2[string, *delivery.Pending] {
	return func(yield func(string, *delivery.Pending) bool) {
		if len(l.subs.pending) == 0 {
			return
		}
		for name := range l.subs.Names(c.slot) {
			if p := l.pending(c, name); p != nil && !yield(name, p) {
				return
			}
		}
	}
}

// roomPending is whether f may be held back too.
func (l *Loop) roomPending(p *delivery.Pending, f *Frame) bool {
	return (len(p.Frames) == 0 || p.Bytes+f.Size() <= l.opts.Slow.LagBytes) && l.engine.budget.Takes(0)
}

// excludePending is for what others are given: what is being fetched may be what the client may not read any more.
// Of a row that has stored snapshots only those take it away.
func excludePending(p *delivery.Pending, given []mailbox.Item[entry]) {
	for i := range given {
		if f := given[i].Value.frame; f.Row == nil || f.Row.Snapshot {
			p.Renew()
			p.Supersede(f)
		}
	}
}

// forgetPending ends a pending subscription, if there is one.
func (l *Loop) forgetPending(c *Client, name string) {
	if l.pending(c, name) != nil {
		delete(l.subs.pending, delivery.PendingKey{Slot: c.slot, Name: name})
		l.engine.budget.Add(budget.Queues, -pendingCost(name))
	}
}
