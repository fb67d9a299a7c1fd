package eventloop

// pendingCost is what a pending subscription to the name takes besides frames: its places
// in the loop's maps, and the names with those who decide about it.
func pendingCost(name string) int64 { return int64(pendingBytes + 3*len(name)) }

// letGoPending lets go of what was held back.
func (l *Loop) letGoPending(p *pendingSubscription) {
	for _, f := range p.frames {
		l.account.release(f)
	}
	p.frames = nil
}

// losePending has what was held back be of no use: something is missing. A newer snapshot
// will have it.
func (l *Loop) losePending(p *pendingSubscription) {
	l.letGoPending(p)
	p.bytes, p.lost = 0, true
}

// forgetPending ends a pending subscription, if there is one.
func (l *Loop) forgetPending(key pendingKey) {
	p := l.subs.pending[key]
	if p == nil {
		return
	}
	l.letGoPending(p)
	delete(l.subs.pending, key)
	l.account.add(heldQueues, -pendingCost(key.name))
}

// weight is what a client answers for that has this subscription.
func (p *pendingSubscription) weight(name string) int64 {
	n := pendingCost(name)
	for _, f := range p.frames[:min(len(p.frames), weighed)] {
		n += f.footprint() / int64(max(f.holders.Load(), 1))
	}
	return n
}
