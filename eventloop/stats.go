package eventloop

import (
	"sync/atomic"

	"github.com/busbar-ws/busbar/eventloop/internal/budget"
	"github.com/busbar-ws/busbar/eventloop/internal/poll"
	"github.com/busbar-ws/busbar/internal/rates"
)

// counters are written by one loop and may be read from anywhere.
type counters struct {
	nowCounters
	inCounters
	outCounters
	panics, wakes   atomic.Uint64
	overflowAnswers atomic.Uint64
	closed          [causeCount]atomic.Uint64
	refused         [6]atomic.Uint64 // by the status' first digit
}

// nowCounters go up and down.
type nowCounters struct {
	openClients, lagging, subscriptions, deflating, handshakes atomic.Int64
}

// inCounters are of what comes from clients.
type inCounters struct {
	accepted, messagesIn, bytesIn, pings, pongs, inflateErrors atomic.Uint64
	limited                                                    [rates.Kinds]atomic.Uint64
	limitedBy                                                  [rates.Scopes]atomic.Uint64
}

// outCounters are of what goes to clients, or doesn't.
type outCounters struct {
	flushes, sends, bytes, frames                       atomic.Uint64
	lagDropped, unwanted, droppedLossy, droppedReliable atomic.Uint64
}

// tally is what one walk over the clients adds up before it touches the counters.
type tally struct{ sends, bytes, frames uint64 }

func (c *counters) add(t tally) {
	c.sends.Add(t.sends)
	c.bytes.Add(t.bytes)
	c.frames.Add(t.frames)
}

func (c *counters) refusedStatus(status int) { c.refused[min(max(status/100, 0), 5)].Add(1) }

// LoopStats are one loop's counters: totals since the start unless said otherwise.
type LoopStats struct {
	LoopNow
	LoopIn
	LoopOut
	Panics uint64 `json:"panics"`
	Wakes  uint64 `json:"wakes"` // turns that found messages in the mailbox; ticks and tasks don't count
}

// LoopNow is what a loop has right now.
type LoopNow struct {
	Clients       int `json:"clients"`       // open
	Lagging       int `json:"lagging"`       // open and behind
	Deflating     int `json:"deflating"`     // open, and compression was negotiated
	Subscriptions int `json:"subscriptions"` // pairs of client and key
	QueueFrames   int `json:"queue_frames"`  // in the mailbox
	QueueBytes    int `json:"queue_bytes"`   // the same
	Handshakes    int `json:"handshakes"`    // connections that haven't been upgraded yet
	AcceptPaused  int `json:"accept_paused"` // 1 while newcomers wait in the kernel's queue
}

// LoopIn is what has come from a loop's clients.
type LoopIn struct {
	Accepted      uint64 `json:"accepted"`
	MessagesIn    uint64 `json:"messages_in"`
	BytesIn       uint64 `json:"bytes_in"`       // of messages' payloads
	Pings         uint64 `json:"pings"`          // received
	Pongs         uint64 `json:"pongs"`          // received
	InflateErrors uint64 `json:"inflate_errors"` // compressed messages that couldn't be inflated
}

// LoopOut is what has gone to a loop's clients, and what hasn't.
type LoopOut struct {
	Flushes       uint64 `json:"flushes"` // that had something for everyone
	Sends         uint64 `json:"sends"`   // system calls that wrote
	BytesOut      uint64 `json:"bytes_out"`
	FramesOut     uint64 `json:"frames_out"`     // messages that went to the kernel whole
	LagDropped    uint64 `json:"lag_dropped"`    // messages that slow clients lost
	Unwanted      uint64 `json:"unwanted"`       // messages to subscribers, of whom the loop had none
	DroppedLossy  uint64 `json:"dropped_lossy"`  // by a full mailbox
	DroppedOthers uint64 `json:"dropped_others"` // by a full mailbox: neither presence nor relay
}

// Stats are an engine's counters.
type Stats struct {
	Connections     int               // descriptors in use by clients, handshakes included, now
	Capacity        int               // the most there may be
	Overflow        int               // connections beyond these, which are told to come back later, now
	OverflowAnswers uint64            // to connections in the overflow
	AcceptErrors    uint64            // accepts that failed
	AcceptPauses    map[string]uint64 // how often newcomers had to wait in the kernel's queue, by reason
	Buffered        Buffered
	Loops           []LoopStats

	Deflated     uint64 // frames that were compressed, once each
	DeflatedFrom uint64 // their bytes
	DeflatedTo   uint64 // their bytes, compressed

	Closed    map[string]uint64 // connections that ended or were refused, by cause
	Refused   map[string]uint64 // upgrade requests answered otherwise, by class of HTTP status
	Limited   map[string]uint64 // times that clients found nothing left to use, by kind
	LimitedBy map[string]uint64 // the same, by whose limit it was
}

func (l *Loop) stats() LoopStats {
	c := &l.counters
	frames, bytes := l.mailbox.Depth()
	return LoopStats{
		LoopNow: LoopNow{
			Clients: int(c.openClients.Load()), Lagging: int(c.lagging.Load()), Deflating: int(c.deflating.Load()),
			Subscriptions: int(c.subscriptions.Load()), QueueFrames: frames, QueueBytes: bytes,
			Handshakes: int(c.handshakes.Load()), AcceptPaused: l.accepting.pause.Load().Paused(),
		},
		LoopIn: LoopIn{
			Accepted: c.accepted.Load(), MessagesIn: c.messagesIn.Load(), BytesIn: c.bytesIn.Load(),
			Pings: c.pings.Load(), Pongs: c.pongs.Load(), InflateErrors: c.inflateErrors.Load(),
		},
		LoopOut: LoopOut{
			Flushes: c.flushes.Load(), Sends: c.sends.Load(), BytesOut: c.bytes.Load(), FramesOut: c.frames.Load(),
			LagDropped: c.lagDropped.Load(), Unwanted: c.unwanted.Load(),
			DroppedLossy: c.droppedLossy.Load(), DroppedOthers: c.droppedReliable.Load(),
		},
		Panics: c.panics.Load(), Wakes: c.wakes.Load(),
	}
}

// Stats reads all counters; they are not of one instant.
func (e *Engine) Stats() Stats {
	connections, overflow := e.places.Taken()
	s := Stats{
		Connections: connections, Capacity: e.places.Connections, Buffered: e.buffered(),
		Deflated: e.deflation.Frames.Load(), DeflatedFrom: e.deflation.Before.Load(), DeflatedTo: e.deflation.After.Load(),
		Overflow: overflow, AcceptErrors: e.acceptErrors.Load(), AcceptPauses: make(map[string]uint64),
		Closed: make(map[string]uint64), Refused: make(map[string]uint64),
		Limited: make(map[string]uint64), LimitedBy: make(map[string]uint64),
	}
	for i, name := range poll.PauseReasonNames {
		s.AcceptPauses[name] = 0
		e.acceptPauses.Each(func(g *poll.AcceptPause) { s.AcceptPauses[name] += g.Count(i) })
	}
	for _, l := range e.loops {
		s.Loops = append(s.Loops, l.stats())
		s.OverflowAnswers += l.counters.overflowAnswers.Load()
		for cause := range l.counters.closed {
			s.Closed[Cause(cause).String()] += l.counters.closed[cause].Load()
		}
		for k := range l.counters.limited {
			s.Limited[rates.Kind(k).String()] += l.counters.limited[k].Load()
		}
		for scope := range l.counters.limitedBy {
			s.LimitedBy[rates.Scope(scope).String()] += l.counters.limitedBy[scope].Load()
		}
		for class := range l.counters.refused {
			if n := l.counters.refused[class].Load(); n > 0 {
				s.Refused[string(rune('0'+class))+"xx"] += n
			}
		}
	}
	return s
}

func (e *Engine) buffered() Buffered {
	b := Buffered{Ceiling: e.budget.Ceiling(), Bytes: make(map[string]int64), Full: e.budget.Full(),
		Others: e.refused[0].Load(), Lossy: e.refused[1].Load()}
	for k := range budget.Kinds {
		b.Bytes[k.String()] = e.budget.UsedFor(k)
	}
	return b
}
