package eventloop

import "github.com/busbar-ws/busbar/eventloop/internal/budget"

// pendingBytes is what a pending subscription takes beside frames and its name, here and with
// those who decide about it.
const pendingBytes = 384

// pendingCost is what a pending subscription to the name takes besides frames: its places
// in the loop's maps, and the names with those who decide about it.
func pendingCost(name string) int64 { return int64(pendingBytes + 3*len(name)) }

// lose has what was held back be of no use: something is missing. A newer snapshot will have it.
func (p *pendingSubscription) lose() { p.frames, p.bytes, p.lost = nil, 0, true }

// forgetPending ends a pending subscription, if there is one.
func (l *Loop) forgetPending(key pendingKey) {
	if l.subs.pending[key] == nil {
		return
	}
	delete(l.subs.pending, key)
	l.engine.budget.Add(budget.Queues, -pendingCost(key.name))
}
