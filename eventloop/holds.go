package eventloop

// What is counted beside a message's bytes: what remembers that a client is owed it, with
// half as much again for how slices grow; and the send queue itself.
const (
	queuedBytes    = 48
	sendQueueBytes = 256
	pendingBytes   = 384 // a pending subscription, here and in the queue of those who decide about it
)

// holds are the messages that a loop's clients are behind with, and how many of the loop's
// clients each is for. Only what waits for a client comes here, not what it takes at once: a
// message that 10,000 subscribers are sent costs none of this, and one that a thousand of them
// didn't take is one message of memory and a thousand places in queues. Owned by its loop. Nil
// holds count nothing.
type holds struct {
	account *account
	refs    map[*Frame]int32
	most    int // frames since the map was made
}

func newHolds(a *account) holds { return holds{account: a, refs: make(map[*Frame]int32)} }

func (h *holds) take(f *Frame) {
	if h == nil {
		return
	}
	h.account.add(heldQueues, queuedBytes)
	h.refs[f]++
	if h.refs[f] == 1 {
		h.account.hold(f)
		h.most = max(h.most, len(h.refs))
	}
}

func (h *holds) release(f *Frame) {
	if h == nil {
		return
	}
	h.account.add(heldQueues, -queuedBytes)
	if h.refs[f]--; h.refs[f] > 0 {
		return
	}
	delete(h.refs, f)
	h.account.release(f)
	const keep = 1024
	if len(h.refs) == 0 && h.most > keep { // a map never shrinks
		h.refs, h.most = make(map[*Frame]int32), 0
	}
}

// share is what one of those who hold f is answerable for.
func (h *holds) share(f *Frame) int64 {
	return f.footprint() / int64(max(h.refs[f], 1)) / int64(max(f.holders.Load(), 1))
}

// park has the ledger know of a send queue: what is in it, and what will be, waits for its
// client. A send queue that is emptied in the same flush isn't parked.
//
// Invariant: of a parked send queue each frame in queue, and the part, is held once; of others
// none is.
func (o *sendQueue) park() {
	if o.parked || o.holds == nil {
		return
	}
	o.parked = true
	o.holds.account.add(heldQueues, sendQueueBytes)
	for _, q := range o.frames[o.head:] {
		o.holds.take(q.frame)
	}
	if o.part != nil {
		o.holdPart()
	}
}

// letGo is called for a frame that leaves the queue.
func (o *sendQueue) letGo(f *Frame) {
	if o.parked {
		o.holds.release(f)
	}
}

func (o *sendQueue) letGoAll() {
	for _, q := range o.frames[o.head:] {
		o.letGo(q.frame)
	}
}

func (o *sendQueue) holdPart() {
	if o.parked && !o.partHeld {
		o.partHeld = true
		o.holds.take(o.part)
	}
}

// endPart is called when the part is with the kernel, or given up.
func (o *sendQueue) endPart() {
	if o.partHeld {
		o.partHeld = false
		o.holds.release(o.part)
	}
	o.part = nil
}

// unpark lets go of everything.
func (o *sendQueue) unpark() {
	o.letGoAll()
	o.endPart()
	if o.parked {
		o.parked = false
		o.holds.account.add(heldQueues, -sendQueueBytes)
	}
}
