package hub

import (
	"fmt"
	"slices"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub/internal/message"
	"github.com/busbar-ws/busbar/internal/fairqueue"
)

// callbacks is the hub as the event loops see it: everything here runs on a loop.
type callbacks Hub

// A client's Data is its *Identity, which the connections of one session share, or a
// *state once there is more to remember about it.
type state struct {
	identity *Identity
	since    uint64 // the cursor that it came with
	cursor   uint64 // seq that catching up has come to
	resyncs  bool   // it came with a cursor, and knows what a resync is
	resume   resume
	renewing bool // its session has ended, and a look-up decides whether it stays

	reading, renewal *fairqueue.Task // what it waits for
	taken            chan<- struct{} // is told that it has a page of its view; nil: there is none under way
	rows             *rowQueue       // nil while it has asked nothing
	recheck          *recheck        // nil while there is nothing to ask about again
}

func (s *state) cancel() {
	s.reading.Cancel()
	s.renewal.Cancel()
	forgetRows(s)
	s.recheck.stop()
	s.recheck = nil
}

func identityOf(c *eventloop.Client) *Identity {
	switch d := c.Data.(type) {
	case *Identity:
		return d
	case *state:
		return d.identity
	}
	return nil
}

func stateOf(c *eventloop.Client) *state {
	if m, ok := c.Data.(*state); ok {
		return m
	}
	m := &state{identity: identityOf(c)}
	c.Data = m
	return m
}

// Message acts on what a client sent (docs/protocol.md section 2). What isn't a known message is
// ignored and counted.
func (cb *callbacks) Message(c *eventloop.Client, op ws.OpCode, payload []byte) {
	h := (*Hub)(cb)
	if op != ws.OpText {
		h.counters.ignored[ignoredBinary].Add(1)
		return
	}
	m, ok := message.Parse(payload)
	if !ok {
		h.counters.ignored[ignoredMalformed].Add(1)
		return
	}
	switch string(m.Kind) {
	case "presence", "topic":
		h.relay(c, m, payload)
	case "crdt-subscribe", "crdt-unsubscribe", "subscribe", "unsubscribe":
		h.subscription(c, m)
	case "ping":
		c.Send(h.pong)
	default:
		h.counters.ignored[ignoredType].Add(1)
	}
}

// subscription begins or ends one. Ending counts as well: a client that does both in turns
// costs a snapshot each time, and never has many subscriptions.
func (h *Hub) subscription(c *eventloop.Client, m message.Message) {
	if !c.Spend(eventloop.RateSubscribes, 1) {
		return
	}
	switch string(m.Kind) {
	case "crdt-subscribe":
		h.subscribeRow(c, m)
	case "crdt-unsubscribe":
		h.unsubscribeRow(c, m)
	default:
		h.subscribeTo(c, m)
	}
}

// Closed ends what is under way for a client, and tells those who may know of it that it has left.
func (cb *callbacks) Closed(c *eventloop.Client, _ eventloop.Cause) {
	switch d := c.Data.(type) {
	case *pendingUpgrade: // it wasn't let in yet
		d.lookup.Cancel()
		return
	case *state:
		d.cancel()
		if d.resyncs {
			c.RememberReplay(d.since, d.cursor)
		}
	}
	cb.leaves.add(c.ID(), identityOf(c))
}

// LossNotice tells clients that have lost messages to pull what they missed, and to subscribe
// to their rows again: which events those are, if the log has them, and as a resync behind which all
// others come, for clients that know no gaps. Who came without a cursor, as Pylon's clients do, can't be told: they
// pull when they connect again.
func (cb *callbacks) LossNotice(c *eventloop.Client, lost eventloop.Gap) *eventloop.Frame {
	if s, ok := c.Data.(*state); !ok || !s.resyncs {
		return nil
	}
	log := cb.log.Bounds()
	resync := resyncFrame(log.Oldest, lost.To)
	if lost.Empty() || lost.From <= log.Before {
		return resync
	}
	gap := eventloop.NewFrame(ws.OpText, fmt.Appendf(nil, `{"type":"gap","from":%d,"to":%d}`, lost.From, lost.To))
	return eventloop.FrameOf(slices.Concat(gap.Wire(), resync.Wire()))
}

// Behind has a client that is too slow given from the log what it hasn't been sent.
func (cb *callbacks) Behind(c *eventloop.Client, since uint64) { stateOf(c).cursor = since }

// Expired looks the client's token up once more: what it stands for may have been prolonged.
func (cb *callbacks) Expired(c *eventloop.Client) { (*Hub)(cb).renew(c) }

// Taken goes on with a client that is sent its rows as it reads.
func (cb *callbacks) Taken(c *eventloop.Client) { (*Hub)(cb).fetchRows(c) }

// Drained goes on with a client that catches up page by page.
func (cb *callbacks) Drained(c *eventloop.Client) {
	if !c.Open() {
		return
	}
	s := stateOf(c)
	if s.taken != nil {
		s.taken <- struct{}{} // once for each page, which is waited for
		return
	}
	c.PinReplay()
	(*Hub)(cb).readLog(c, s)
}
