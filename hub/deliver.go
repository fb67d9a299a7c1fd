package hub

import (
	"context"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop"
)

// What goes to the loops in one go at most, when the log has more.
const (
	partEvents = 128
	partBytes  = 1 << 20
)

// deliverPatience is how long the loops are waited for when more comes from the log at once than their
// queues have room for. Then it goes out all the same, and pushes out what nobody took.
const deliverPatience = 5 * time.Second

// deliver follows the change log: it hands entries to the loops, in the order of their seqs.
func (h *Hub) deliver(entries []Entry) {
	defer h.survive("delivering what the change log has")
	entries = h.deliverPart(entries) // its publishers have waited for room
	if len(entries) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(h.background, deliverPatience)
	defer cancel()
	for len(entries) > 0 {
		_ = h.engine.WaitDrained(ctx)
		entries = h.deliverPart(entries)
	}
}

// deliverPart hands over as many entries as go out together, and returns the rest.
func (h *Hub) deliverPart(entries []Entry) (rest []Entry) {
	n := min(len(firstBytes(entries, partBytes)), partEvents, h.DrainedMessages())
	if n == 0 {
		return nil
	}
	last := h.delivered.Reached()
	for i := range entries[:n] {
		e := &entries[i]
		if e.Prev > last && last != 0 { // as on a node that was away for longer than the log retains
			h.engine.Lost(eventloop.Gap{From: last + 1, To: e.Prev}, nil, eventloop.LossLog)
		}
		last = e.Seq
		if e.JSON == nil {
			continue
		}
		f, to := eventFrame(e), h.audienceOf(e)
		h.engine.Count(f) // whether or not there is room to send it, the log keeps it
		if h.engine.Queue(f, to).Refused {
			h.engine.Lost(eventloop.Gap{From: f.Seq, To: f.Seq}, to, eventloop.LossMemory) // the log has it, and its publisher is told so
		}
	}
	h.engine.Flush()
	h.delivered.Reach(entries[n-1].Seq)
	return entries[n:]
}

// eventFrame is the entry's frame: the log's own, which all share, or one that is made now
// when the log keeps none.
func eventFrame(e *Entry) *eventloop.Frame {
	if e.frame != nil {
		return e.frame
	}
	f := eventloop.NewFrame(ws.OpText, e.JSON)
	if e.Audience.Topic == "" {
		f.Seq = e.Seq
	} else {
		f.Kind = eventloop.KindTopic
	}
	return f
}

func (h *Hub) audienceOf(e *Entry) *eventloop.Audience {
	switch a := e.Audience; {
	case len(a.Users) > 0:
		return &eventloop.Audience{Label: eventloop.LabelUser, Names: a.Users}
	case a.Tenant != "":
		return ofTenant(a.Tenant)
	case a.Topic != "":
		return &eventloop.Audience{Key: keyOfTopic(a.Topic)}
	case h.opts.Routing == RouteSubscribed:
		return &eventloop.Audience{Key: keyOfEntity(e.Entity)}
	}
	return nil
}
