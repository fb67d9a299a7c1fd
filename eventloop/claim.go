package eventloop

import (
	"cmp"
	"slices"
)

// claim is how much memory the process would have back, more or less, if a client went.
type claim struct {
	id    uint64
	bytes int64
}

// heaviest leaves of claims those that free so many bytes, or all, the heaviest first.
func heaviest(claims []claim, bytes int64) (some []claim, freed int64) {
	slices.SortFunc(claims, func(a, b claim) int {
		return cmp.Or(cmp.Compare(b.bytes, a.bytes), cmp.Compare(a.id, b.id))
	})
	n := 0
	for n < len(claims) && freed < bytes {
		freed += claims[n].bytes
		n++
	}
	return claims[:n], freed
}

// keeper is a client for which the broadcast log is kept from a position on.
type keeper struct {
	slot uint32
	from uint64
}

// sharesOf divides what the broadcast log keeps among those that it is kept for: each frame among
// those who haven't got past it. So the slowest answers alone for what only it is still to
// get. keepers are sorted on the way; shares are in their order.
func (f *broadcastLog) sharesOf(keepers []keeper) (shares []int64) {
	slices.SortFunc(keepers, func(a, b keeper) int { return cmp.Compare(a.from, b.from) })
	shares = make([]int64, len(keepers))
	total, behind := int64(0), 0 // of frames so far; keepers that stand at or before them
	for pos := f.first; pos < f.end; pos++ {
		for behind < len(keepers) && keepers[behind].from <= pos {
			shares[behind] = -total
			behind++
		}
		if behind > 0 {
			total += f.at(pos).footprint() / int64(behind)
		}
	}
	for i := range shares[:behind] {
		shares[i] += total
	}
	return shares
}

// keeps is from where on the broadcast log is kept for a client that is behind. A part that is still
// in the broadcast log isn't kept for this client alone.
func (c *Client) keeps() (from uint64, keeps bool) {
	switch o := c.queue; {
	case c.is(flagPinned):
		return c.pos, true
	case c.is(flagReplaying) || o == nil || !o.waiting || c.pos >= o.stop: // or it gets a Close and no more
		return 0, false
	case o.part != nil && c.pos > c.loop.broadcasts.first && c.loop.broadcasts.at(c.pos-1) == o.part:
		return c.pos - 1, true
	}
	return c.pos, true
}

// slowest is the position that no client who is behind stands before.
func (l *Loop) slowest() uint64 {
	if l.behind.pinned > 0 { // who is pinned isn't listed anywhere, for a moment
		return l.broadcasts.first
	}
	least := l.broadcasts.end
	for _, c := range l.behind.laggards {
		if from, keeps := c.keeps(); keeps {
			least = min(least, from)
		}
	}
	return least
}

// claims are those of all the loop's clients who have any.
func (l *Loop) claims() (claims []claim) {
	var keepers []keeper
	bySlot := make(map[uint32]int64)
	for key, p := range l.subs.pending {
		bySlot[key.slot] += p.weight(key.name)
	}
	for slot, m := range l.behind.replays {
		bySlot[slot] += l.holds.weight(m.frames)
	}
	for slot, c := range l.clients.slots {
		if c == nil || c.state == gone {
			continue
		}
		if from, keeps := c.keeps(); keeps {
			keepers = append(keepers, keeper{uint32(slot), from})
		}
		if n := c.weight(); n > 0 {
			bySlot[uint32(slot)] += n
		}
	}
	for i, share := range l.broadcasts.sharesOf(keepers) {
		bySlot[keepers[i].slot] += share
	}
	for slot, bytes := range bySlot {
		if c := l.clients.slots[slot]; c != nil && bytes > 0 {
			claims = append(claims, claim{c.id, bytes})
		}
	}
	return claims
}

// weight is what the client answers for besides the broadcast log.
func (c *Client) weight() (n int64) {
	if c.state == handshaking || c.state == authorising {
		n += upgradeBytes(c.pos)
	}
	if c.decoder != nil {
		n += c.decoder.held
	}
	if c.queue != nil && c.queue.parked {
		n += c.queue.weight()
		if from, keeps := c.keeps(); c.queue.partHeld && !(keeps && from < c.pos) {
			n += c.loop.holds.share(c.queue.part)
		}
	}
	return n
}

// weighed is how many of a queue's frames are looked at; the others count like these.
const weighed = 256

func (o *sendQueue) weight() int64 {
	return sendQueueBytes + o.holds.weight(o.frames[o.head:])
}

func (h *holds) weight(queue []queued) (n int64) {
	some := queue[:min(len(queue), weighed)]
	for _, q := range some {
		n += h.share(q.frame) + queuedBytes
	}
	if len(some) > 0 {
		n = n / int64(len(some)) * int64(len(queue))
	}
	return n
}
