package eventloop

import (
	"github.com/busbar-ws/busbar/eventloop/internal/budget"
	"github.com/busbar-ws/busbar/wsproto"
)

// assembly is a message that hasn't come whole, and what the budget has been told of it. It
// is a client's only while there is such a message.
type assembly struct {
	wsproto.Decoder
	held int64
}

// assemblyBytes is what an assembly takes beside the bytes that have come.
const assemblyBytes = 128

func (l *Loop) decoder() *assembly {
	if l.pools.decoder == nil {
		return new(assembly)
	}
	d := l.pools.decoder
	l.pools.decoder = nil
	return d
}

// assembling counts what has come of c's message. At the ceiling the client that has more to
// come isn't waited for: which clients are the largest is found out between the reads of a
// round, and in one round 1,024 sockets may bring 64 KiB each.
func (l *Loop) assembling(c *Client) {
	d := c.decoder
	now := int64(assemblyBytes + d.Footprint())
	l.engine.budget.Add(budget.Inbound, now-d.held)
	grown := now > d.held
	d.held = now
	if !grown {
		return
	}
	l.engine.budget.Judge()
	if !l.engine.budget.Takes(0) {
		l.evict(c)
	}
}

func (l *Loop) freeDecoder(c *Client) {
	d := c.decoder
	l.engine.budget.Add(budget.Inbound, -d.held)
	d.held = 0
	d.Release()
	l.pools.decoder, c.decoder = d, nil
}
