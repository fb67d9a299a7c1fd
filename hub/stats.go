package hub

import (
	"sync/atomic"

	"github.com/busbar-ws/busbar/eventloop"
)

// Why a client's message was ignored.
const (
	ignoredBinary = iota
	ignoredMalformed
	ignoredType
	ignoredSubscriptions
	ignoredForged
	ignoredRelaysOff
	ignoredReasons
)

var ignoredNames = [ignoredReasons]string{"binary", "malformed", "unknown_type", "too_many_subscriptions", "forged", "relays_off"}

// How a token was decided about.
const (
	authCached = iota
	authLookedUp
	authRejected
	authFailed
	authResults
)

var authNames = [authResults]string{"cached", "looked_up", "rejected", "failed"}

type counters struct {
	ignored                                           [ignoredReasons]atomic.Uint64
	auth                                              [authResults]atomic.Uint64
	changes, repeated, presence, topics, rows, binary atomic.Uint64
	relayed, denied, snapshotErrors                   atomic.Uint64
}

// Stats is a snapshot of the counters: totals since the start unless said otherwise.
type Stats struct {
	Connections   int    `json:"connections"`   // descriptors in use by clients, handshakes included, now
	Capacity      int    `json:"capacity"`      // the most there may be
	Overflow      int    `json:"overflow"`      // beyond capacity, which are told to come back later, now
	Handshakes    int    `json:"handshakes"`    // connections that haven't been upgraded yet, now
	AcceptPaused  int    `json:"accept_paused"` // loops whose newcomers wait in the kernel's queue, now
	Clients       int    `json:"clients"`       // connected and authenticated, now
	Lagging       int    `json:"lagging"`       // of them, behind, now
	Deflating     int    `json:"deflating"`     // of them, with compression, now
	Subscriptions int    `json:"subscriptions"` // pairs of client and key, now
	LastSeq       uint64 `json:"last_seq"`
	OldestSeq     uint64 `json:"oldest_seq"`
	StoredRows    int    `json:"stored_rows"`      // snapshots, now
	StoredBytes   int64  `json:"stored_row_bytes"` // of them, now

	Published       map[string]uint64 `json:"published"`        // messages, by kind
	Relayed         uint64            `json:"relayed"`          // presence and topic messages of clients
	RateLimited     map[string]uint64 `json:"rate_limited"`     // messages dropped, by the limit they were over ("bytes": reads)
	RateLimitedBy   map[string]uint64 `json:"rate_limited_by"`  // the same, by whose limit it was
	Ignored         map[string]uint64 `json:"ignored"`          // messages of clients, by reason
	Auth            map[string]uint64 `json:"auth"`             // upgrades, by how the token was decided about
	AuthRefused     map[string]uint64 `json:"auth_refused"`     // tokens, by cause, of the API's callers too
	RowsDenied      uint64            `json:"rows_denied"`      // requests for rows, or there was no such row
	SnapshotErrors  uint64            `json:"snapshot_errors"`  // fetches that failed
	RowsEvicted     uint64            `json:"rows_evicted"`     // snapshots let go of for newer ones
	OpsRepeated     uint64            `json:"ops_repeated"`     // changes with an op_id that was there before
	WorkersRefused  uint64            `json:"workers_refused"`  // lookups and fetches for which there was no room
	FramesDelivered uint64            `json:"frames_delivered"` // messages that went to the kernel whole
	BytesOut        uint64            `json:"bytes_out"`
	Sends           uint64            `json:"sends"`   // system calls that wrote
	Flushes         uint64            `json:"flushes"` // that had something for everyone
	MessagesIn      uint64            `json:"messages_in"`
	BytesIn         uint64            `json:"bytes_in"`
	Dropped         map[string]uint64 `json:"dropped"`          // messages, by cause
	Closed          map[string]uint64 `json:"closed"`           // connections ended or refused, by cause
	OverflowAnswers uint64            `json:"overflow_answers"` // to connections beyond capacity
	AcceptErrors    uint64            `json:"accept_errors"`    // accepts that failed
	AcceptPauses    map[string]uint64 `json:"accept_pauses"`    // how often newcomers had to wait in the kernel's queue, by reason
	Refused         map[string]uint64 `json:"refused"`          // upgrade requests, by class of HTTP status
	Panics          uint64            `json:"panics"`           // in handlers

	Deflated      uint64 `json:"deflated"`       // messages that were compressed, once each
	DeflatedFrom  uint64 `json:"deflated_from"`  // their bytes
	DeflatedTo    uint64 `json:"deflated_to"`    // their bytes, compressed
	InflateErrors uint64 `json:"inflate_errors"` // messages of clients that couldn't be inflated

	Buffered      map[string]int64 `json:"buffered"`       // bytes for and from clients, by kind, now
	BufferCeiling int64            `json:"buffer_ceiling"` // the most there may be; 0: no bound
	Overloaded    int              `json:"overloaded"`     // 1 while newcomers and publishers are refused for it

	Loops []eventloop.LoopStats `json:"loops"`
}

// Stats reads all counters; they are not of one instant.
func (h *Hub) Stats() Stats {
	e := h.engine.Stats()
	c := &h.counters
	s := Stats{
		Connections: e.Connections, Capacity: e.Capacity, Overflow: e.Overflow,
		OverflowAnswers: e.OverflowAnswers, AcceptErrors: e.AcceptErrors, AcceptPauses: e.AcceptPauses, Clients: h.engine.Clients(),
		Published: map[string]uint64{
			"change": c.changes.Load(), "presence": c.presence.Load(), "topic": c.topics.Load(),
			"row": c.rows.Load(), "binary": c.binary.Load(),
		},
		Relayed: c.relayed.Load(), RateLimited: e.Limited, RateLimitedBy: e.LimitedBy,
		Ignored: named(ignoredNames[:], c.ignored[:]), Auth: named(authNames[:], c.auth[:]), AuthRefused: h.refusals.counts(),
		RowsDenied: c.denied.Load(), SnapshotErrors: c.snapshotErrors.Load(), OpsRepeated: c.repeated.Load(),
		WorkersRefused: h.queues.refused(), Dropped: map[string]uint64{}, Closed: e.Closed, Refused: e.Refused, Loops: e.Loops,
		Deflated: e.Deflated, DeflatedFrom: e.DeflatedFrom, DeflatedTo: e.DeflatedTo,
	}
	s.OldestSeq, s.LastSeq = h.logBounds()
	if h.rows != nil {
		r := h.rows.stats()
		s.StoredRows, s.StoredBytes, s.RowsEvicted = r.rows, r.bytes, r.evicted
	}
	s.Panics = h.panics.Count()
	s.addLoops(e.Loops)
	s.Dropped["queue_lossy"] += h.leaves.dropped.Load()
	s.addBuffered(e.Buffered)
	return s
}

func (s *Stats) addBuffered(b eventloop.Buffered) {
	s.Buffered, s.BufferCeiling = b.Bytes, b.Ceiling
	if b.Full {
		s.Overloaded = 1
	}
	s.Dropped["memory_lossy"] += b.Lossy
	s.Dropped["memory_other"] += b.Others
}

func (s *Stats) addLoops(loops []eventloop.LoopStats) {
	for _, l := range loops {
		s.Lagging += l.Lagging
		s.Deflating += l.Deflating
		s.InflateErrors += l.InflateErrors
		s.Handshakes += l.Handshakes
		s.AcceptPaused += l.AcceptPaused
		s.Subscriptions += l.Subscriptions
		s.FramesDelivered += l.FramesOut
		s.BytesOut += l.BytesOut
		s.Sends += l.Sends
		s.Flushes += l.Flushes
		s.MessagesIn += l.MessagesIn
		s.BytesIn += l.BytesIn
		s.Panics += l.Panics
		s.Dropped["queue_lossy"] += l.DroppedLossy
		s.Dropped["queue_other"] += l.DroppedOthers
		s.Dropped["slow_client"] += l.LagDropped
	}
}

func named(names []string, counts []atomic.Uint64) map[string]uint64 {
	m := make(map[string]uint64, len(names))
	for i, name := range names {
		m[name] = counts[i].Load()
	}
	return m
}
