package eventloop

import (
	"reflect"
	"sync/atomic"
	"time"

	"github.com/busbar-ws/busbar/eventloop/internal/budget"
	"github.com/busbar-ws/busbar/eventloop/internal/delivery"
	"github.com/busbar-ws/busbar/internal/histogram"
	"github.com/busbar-ws/busbar/internal/rates"
)

// Figures are what each loop counts and Stats adds up: what goes up and down as N, totals since
// the start as T.
type Figures[N, T any] struct {
	Clients       N `json:"clients"`       // open
	Lagging       N `json:"lagging"`       // open and behind
	Deflating     N `json:"deflating"`     // open, and compression was negotiated
	Subscriptions N `json:"subscriptions"` // pairs of client and key
	Handshakes    N `json:"handshakes"`    // connections that haven't been upgraded yet

	MessagesIn    T `json:"messages_in"`
	BytesIn       T `json:"bytes_in"`       // of messages' payloads
	InflateErrors T `json:"inflate_errors"` // compressed messages that couldn't be inflated
	Flushes       T `json:"flushes"`        // that had something for everyone
	Sends         T `json:"sends"`          // system calls that wrote
	BytesOut      T `json:"bytes_out"`
	LagReplays    T `json:"lag_replays"`    // times that a slow client was to be given events from the change log
	LagSuperseded T `json:"lag_superseded"` // messages of rows that slow clients are sent newer snapshots instead of
	Panics        T `json:"panics"`         // in handlers
}

// LoopFigures are totals that aren't added up, or under another name.
type LoopFigures[T any] struct {
	Accepted      T `json:"accepted"`
	Pings         T `json:"pings"`          // received
	Pongs         T `json:"pongs"`          // received
	FramesOut     T `json:"frames_out"`     // messages that went to the kernel whole
	LagDropped    T `json:"lag_dropped"`    // messages that slow clients lost
	Unwanted      T `json:"unwanted"`       // messages to subscribers, of whom the loop had none
	DroppedLossy  T `json:"dropped_lossy"`  // by a full mailbox
	DroppedOthers T `json:"dropped_others"` // by a full mailbox: neither presence nor relay
	Wakes         T `json:"wakes"`          // turns that found messages in the mailbox; ticks and tasks don't count
}

// counters are written by one loop and may be read from anywhere.
type counters struct {
	Figures[atomic.Int64, atomic.Uint64]
	LoopFigures[atomic.Uint64]
	overflowAnswers atomic.Uint64
	closed          [causeCount]atomic.Uint64
	refused         [6]atomic.Uint64 // by the status' first digit
	limited         [rates.Kinds]atomic.Uint64
	limitedBy       [rates.Scopes]atomic.Uint64

	states [states]atomic.Int64 // connections, those that are gone left out
	// Of each broadcast, for each loop that sends it: until its walk begins, and is over. Of each walk. Of each upgrade.
	firstSend, lastSend, flush, handshake histogram.Durations
	furthest                              furthest
	accounts                              accounts
}

// furthest is how far the laggard that is furthest behind was when the loop last looked at them.
type furthest struct {
	bytes, messages atomic.Int64
	since           atomic.Uint32 // tick at which the one fell behind that has been behind for longest
}

func (c *counters) add(t delivery.Tally) {
	c.Sends.Add(t.Sends)
	c.BytesOut.Add(t.Bytes)
	c.FramesOut.Add(t.Frames)
}

func (c *counters) refusedStatus(status int) { c.refused[min(max(status/100, 0), 5)].Add(1) }

// LoopStats are one loop's counters: totals since the start unless said otherwise.
type LoopStats struct {
	Figures[int, uint64]
	LoopFigures[uint64]
	QueueFrames  int `json:"queue_frames"`  // in the mailbox, now
	QueueBytes   int `json:"queue_bytes"`   // the same
	AcceptPaused int `json:"accept_paused"` // 1 while newcomers wait in the kernel's queue

	Connections map[string]int `json:"connections"` // now, by state: handshaking, authorising, open, closing
}

// Stats are an engine's counters: totals since the start unless said otherwise.
type Stats struct {
	Figures[int, uint64]
	Connections  int `json:"connections"`   // descriptors in use by clients, handshakes included, now
	Capacity     int `json:"capacity"`      // the most there may be
	Overflow     int `json:"overflow"`      // beyond capacity, which are told to come back later, now
	AcceptPaused int `json:"accept_paused"` // loops whose newcomers wait in the kernel's queue, now

	FramesDelivered uint64            `json:"frames_delivered"` // messages that went to the kernel whole
	OverflowAnswers uint64            `json:"overflow_answers"` // to connections beyond capacity
	AcceptErrors    uint64            `json:"accept_errors"`    // accepts that failed
	AcceptPauses    map[string]uint64 `json:"accept_pauses"`    // how often newcomers had to wait in the kernel's queue, by reason
	Closed          map[string]uint64 `json:"closed"`           // connections ended or refused, by cause
	Refused         map[string]uint64 `json:"refused"`          // upgrade requests answered otherwise, by class of HTTP status
	RateLimited     map[string]uint64 `json:"rate_limited"`     // messages dropped, by the limit they were over ("bytes": reads)
	RateLimitedBy   map[string]uint64 `json:"rate_limited_by"`  // the same, by whose limit it was
	Dropped         map[string]uint64 `json:"dropped"`          // messages, by cause

	Account
	delivery.Compressed[uint64]

	BufferStats

	// Lag is how far the laggards are that are furthest behind, now, to a tick.
	Lag Furthest `json:"lag"`
	// Durations are distributions, by what took so long: broadcast_first_send and broadcast_last_send (from when a
	// message for everyone was published until an event loop began to send it, and until all of the loop's clients had
	// been sent it but for laggards; once for each loop), flush (of a loop), handshake (from accept to the upgrade's answer).
	Durations map[string]histogram.Snapshot `json:"durations"`

	Loops []LoopStats `json:"loops"`
}

// Account is messages, each counted for each client that it was for. They add up:
// Owed = Stats.FramesDelivered + Lost (by cause and kind) + Replaced (by what) + those that wait.
type Account struct {
	Owed     uint64                       `json:"owed"`
	Lost     map[string]map[string]uint64 `json:"lost"`
	Replaced map[string]uint64            `json:"replaced"`
}

// BufferStats are about the bytes for clients and from them, now.
type BufferStats struct {
	Buffered      map[string]int64 `json:"buffered"`       // by kind: messages (until the collector has freed them), queues, inbound, upgrades, subscriptions, outside
	BufferCeiling int64            `json:"buffer_ceiling"` // the most there may be; 0: no bound
	Overloaded    int              `json:"overloaded"`     // 1 while newcomers and publishers are refused for it
}

// Furthest is the most that any laggard is behind by, each of the three for itself.
type Furthest struct {
	Bytes    int64   `json:"bytes"`
	Messages int64   `json:"messages"`
	Seconds  float64 `json:"seconds"` // since it fell behind
}

// addUp adds what is counted to the fields of the same places in sums.
func addUp(sums, counted any) {
	to, from := reflect.ValueOf(sums).Elem(), reflect.ValueOf(counted).Elem()
	for i := range to.NumField() {
		switch n := from.Field(i).Addr().Interface().(type) {
		case *atomic.Int64:
			to.Field(i).SetInt(to.Field(i).Int() + n.Load())
		case *atomic.Uint64:
			to.Field(i).SetUint(to.Field(i).Uint() + n.Load())
		}
	}
}

func (l *Loop) stats() (s LoopStats) {
	addUp(&s.Figures, &l.counters.Figures)
	addUp(&s.LoopFigures, &l.counters.LoopFigures)
	s.QueueFrames, s.QueueBytes = l.mailbox.Depth()
	s.AcceptPaused = l.poller.AcceptPause().Paused()
	s.Connections = make(map[string]int, states)
	for state, name := range stateNames {
		s.Connections[name] = int(l.counters.states[state].Load())
	}
	return s
}

// Stats reads all counters; they are not of one instant.
func (e *Engine) Stats() Stats {
	connections, overflow := e.places.Taken()
	s := Stats{
		Connections: connections, Capacity: e.places.Capacity().Connections, Overflow: overflow,
		AcceptErrors: e.poller.AcceptErrors(), AcceptPauses: e.poller.AcceptPauses(),
		Closed: make(map[string]uint64), Refused: make(map[string]uint64),
		RateLimited: make(map[string]uint64), RateLimitedBy: make(map[string]uint64),
		Dropped:     map[string]uint64{"memory_other": e.refused[0].Load(), "memory_lossy": e.refused[1].Load()},
		BufferStats: BufferStats{Buffered: make(map[string]int64), BufferCeiling: e.budget.Ceiling()}, Durations: make(map[string]histogram.Snapshot),
		Account: Account{Lost: make(map[string]map[string]uint64), Replaced: make(map[string]uint64)},
	}
	for cause := range lossCauses {
		if cause != LossLog { // what never came here isn't counted
			s.Lost[cause.String()] = make(map[string]uint64)
		}
	}
	for k := range budget.Kinds {
		s.Buffered[k.String()] = e.budget.UsedFor(k)
	}
	if e.budget.Full() {
		s.Overloaded = 1
	}
	addUp(&s.Compressed, &e.deflation.Compressed)
	for _, l := range e.loops {
		s.addLoop(l)
	}
	return s
}

func (s *Stats) addLoop(l *Loop) {
	c, own := &l.counters, l.stats()
	s.Loops = append(s.Loops, own)
	addUp(&s.Figures, &c.Figures)
	s.AcceptPaused += own.AcceptPaused
	s.FramesDelivered += own.FramesOut
	s.Dropped["queue_lossy"] += own.DroppedLossy
	s.Dropped["queue_other"] += own.DroppedOthers
	s.Dropped["slow_client"] += own.LagDropped
	s.OverflowAnswers += c.overflowAnswers.Load()
	s.Owed += c.accounts.owed.Load()
	for cause := range c.accounts.lost {
		byKind := s.Lost[LossCause(cause).String()]
		for kind := range c.accounts.lost[cause] {
			if byKind != nil {
				byKind[Kind(kind).String()] += c.accounts.lost[cause][kind].Load()
			}
		}
	}
	for by, name := range replacementNames {
		s.Replaced[name] += c.accounts.replaced[by].Load()
	}
	s.Lag.atLeast(&c.furthest, l.engine.started)
	for name, d := range map[string]*histogram.Durations{
		"broadcast_first_send": &c.firstSend, "broadcast_last_send": &c.lastSend, "flush": &c.flush, "handshake": &c.handshake,
	} {
		all := s.Durations[name]
		all.Add(d.Read())
		s.Durations[name] = all
	}
	for cause := range c.closed {
		s.Closed[Cause(cause).String()] += c.closed[cause].Load()
	}
	for k := range c.limited {
		s.RateLimited[rates.Kind(k).String()] += c.limited[k].Load()
	}
	for scope := range c.limitedBy {
		s.RateLimitedBy[rates.Scope(scope).String()] += c.limitedBy[scope].Load()
	}
	for class := range c.refused {
		if n := c.refused[class].Load(); n > 0 {
			s.Refused[string(rune('0'+class))+"xx"] += n
		}
	}
}

// atLeast takes in what a loop has.
func (s *Furthest) atLeast(f *furthest, started time.Time) {
	s.Bytes, s.Messages = max(s.Bytes, f.bytes.Load()), max(s.Messages, f.messages.Load())
	if since := f.since.Load(); since > 0 {
		s.Seconds = max(s.Seconds, (time.Since(started) - time.Duration(since)*tick).Seconds())
	}
}
