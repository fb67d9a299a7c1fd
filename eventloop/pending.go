package eventloop

import (
	"iter"

	"github.com/busbar-ws/busbar/eventloop/internal/budget"
)

// pendingBytes is what a pending subscription takes beside frames and its name, here and with
// those who decide about it.
const pendingBytes = 384

// pendingCost is what a pending subscription to the name takes besides frames: its places
// in the loop's maps, and the names with those who decide about it.
func pendingCost(name string) int64 { return int64(pendingBytes + 3*len(name)) }

// pendingOf yields a client's subscriptions that are being decided about. They may end meanwhile.
func (l *Loop) pendingOf(c *Client) iter.Seq2[string, *pendingSubscription] {
	return func(yield func(string, *pendingSubscription) bool) {
		if len(l.subs.pending) == 0 {
			return
		}
		for name := range l.subs.Names(c.slot) {
			if p := l.subs.pending[pendingKey{c.slot, name}]; p != nil && !yield(name, p) {
				return
			}
		}
	}
}

// sent is whether a client that was subscribed is sent a frame at once.
func (p *pendingSubscription) sent(f *Frame) bool {
	return p.live && (p.ahead || f.Version == 0)
}

// sendPending has a client that was subscribed go on with all that has come.
func (l *Loop) sendPending(c *Client, p *pendingSubscription) {
	for _, f := range p.frames {
		if !p.sent(f) {
			l.enqueue(c, f, false)
		}
	}
	p.ahead = true
}

// overflowPending lets go of what was held back, which is more than can be. A client that was
// subscribed has it now. For any other the snapshot that is being fetched is of no use: there
// would be a gap behind it.
func (l *Loop) overflowPending(c *Client, p *pendingSubscription) {
	if p.live {
		l.sendPending(c, p)
	} else {
		p.lost = true
	}
	p.frames, p.bytes = nil, 0
}

// losePending has a newer snapshot asked for: something is missing, or the snapshot may be what the
// client may not read any more.
func (l *Loop) losePending(c *Client, p *pendingSubscription) {
	l.overflowPending(c, p)
	p.lost = true
}

// forgetPending ends a pending subscription, if there is one.
func (l *Loop) forgetPending(key pendingKey) {
	if l.subs.pending[key] == nil {
		return
	}
	delete(l.subs.pending, key)
	l.engine.budget.Add(budget.Queues, -pendingCost(key.name))
}
