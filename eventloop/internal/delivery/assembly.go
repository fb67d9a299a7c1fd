package delivery

import (
	"github.com/busbar-ws/busbar/eventloop/internal/budget"
	"github.com/busbar-ws/busbar/wsproto"
)

// Assembly is a client's message that hasn't come whole, and what the budget has been told of it. It is a
// client's only while there is such a message. Owned by the client's loop.
type Assembly struct {
	wsproto.Decoder
	held int64
}

// assemblyBytes is what an Assembly takes beside the bytes that have come.
const assemblyBytes = 128

// Held is how many bytes the budget was told of.
func (a *Assembly) Held() int64 { return a.held }

// Count tells the budget of what has come, and is whether that is more than before.
func (a *Assembly) Count(b *budget.Budget) (grown bool) {
	now := int64(assemblyBytes + a.Footprint())
	b.Add(budget.Inbound, now-a.held)
	grown, a.held = now > a.held, now
	return grown
}

// End lets go of the message.
func (a *Assembly) End(b *budget.Budget) {
	b.Add(budget.Inbound, -a.held)
	a.held = 0
	a.Release()
}
