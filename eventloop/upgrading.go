package eventloop

import (
	"math/bits"

	"github.com/busbar-ws/busbar/eventloop/internal/budget"
)

// Until a client is accepted, its pos is what the budget has been told of it: the bytes of
// its request's head, once that is whole, and the bytes that are with gnet. With nothing
// there it is 0.
func upgrading(head, buffered int) uint64 { return uint64(head)<<32 | uint64(uint32(buffered)) }

// searched is how many bytes of a request were there when it was last looked at.
func (c *Client) searched() int { return int(uint32(c.pos)) }

// upgradeBytes is the memory behind such a pos. gnet keeps bytes in a ring, whose size
// begins at 1 KiB and is then at most a quarter above what is in it (v2.9.8, ring.Buffer.grow,
// to the next power of two below 4 KiB), and beside it copies what Peek is asked for into a
// buffer whose size is a power of two, which it keeps until the next Discard. A head was
// taken apart into strings and an answer, which wait with whoever decides.
func upgradeBytes(pos uint64) (size int64) {
	if n := int64(uint32(pos)); n > 0 {
		size = max(1024, n+n/4) + int64(1)<<bits.Len64(uint64(n))
	}
	if head := int64(pos >> 32); head > 0 {
		size += head + 1024
	}
	return size
}

// waitFor notes what is there of a client that isn't accepted yet.
func (l *Loop) waitFor(c *Client, head, buffered int) {
	pos := upgrading(head, buffered)
	l.engine.budget.Add(budget.Upgrades, upgradeBytes(pos)-upgradeBytes(c.pos))
	c.pos = pos
	if pos != 0 {
		l.engine.budget.Judge()
	}
}

// upgradeEnds is called when a client is accepted or refused, or goes: from there on what
// it has sent is read, or forgotten.
func (l *Loop) upgradeEnds(c *Client) {
	if c.state == handshaking || c.state == authorising {
		l.waitFor(c, 0, 0)
	}
}
