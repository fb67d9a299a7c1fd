package hub

import (
	"sync/atomic"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/internal/histogram"
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

// What became of clients that came with the cursor of an event (since above 0).
const (
	resumeExact  = iota // given all events behind it, and live
	resumeResync        // told to resync on the way: the log had let go of events meanwhile, or here some were lost
	resumeTooOld        // told to resync at once: its cursor isn't in the log
	resumeOutcomes
)

var resumeNames = [resumeOutcomes]string{"exact", "resync", "too_old"}

type counters struct {
	resumes                                           [resumeOutcomes]atomic.Uint64
	logAppend, logRead, tokens, rowFetches            histogram.Durations
	ignored                                           [ignoredReasons]atomic.Uint64
	auth                                              [authResults]atomic.Uint64
	changes, repeated, presence, topics, rows, binary atomic.Uint64
	relayed, denied, snapshotErrors                   atomic.Uint64
}

// Stats is a snapshot of the counters: totals since the start unless said otherwise.
type Stats struct {
	eventloop.Stats
	LastSeq     uint64 `json:"last_seq"`
	OldestSeq   uint64 `json:"oldest_seq"`
	StoredRows  int    `json:"stored_rows"`      // snapshots, now
	StoredBytes int64  `json:"stored_row_bytes"` // of them, now

	Published      map[string]uint64 `json:"published"`       // messages, by kind
	Relayed        uint64            `json:"relayed"`         // presence and topic messages of clients
	Ignored        map[string]uint64 `json:"ignored"`         // messages of clients, by reason
	Auth           map[string]uint64 `json:"auth"`            // upgrades, by how the token was decided about
	AuthRefused    map[string]uint64 `json:"auth_refused"`    // tokens, by cause, of the API's callers too
	RowsDenied     uint64            `json:"rows_denied"`     // requests for rows, or there was no such row
	SnapshotErrors uint64            `json:"snapshot_errors"` // fetches that failed
	RowsEvicted    uint64            `json:"rows_evicted"`    // snapshots let go of for newer ones
	OpsRepeated    uint64            `json:"ops_repeated"`    // changes with an op_id that was there before
	WorkersRefused uint64            `json:"workers_refused"` // lookups and fetches for which there was no room
	Resumes        map[string]uint64 `json:"resumes"`         // clients that came with a cursor above 0 and went live, by outcome

	// LookUps are distributions of how long the answers took, by what was looked up: token, row. Durations has
	// log_append and log_read too.
	LookUps map[string]histogram.Snapshot `json:"look_ups"`
}

// Stats reads all counters; they are not of one instant.
func (h *Hub) Stats() Stats {
	c := &h.counters
	s := Stats{
		Stats: h.engine.Stats(),
		Published: map[string]uint64{
			"change": c.changes.Load(), "presence": c.presence.Load(), "topic": c.topics.Load(),
			"row": c.rows.Load(), "binary": c.binary.Load(),
		},
		Relayed: c.relayed.Load(), Ignored: named(ignoredNames[:], c.ignored[:]),
		Auth: named(authNames[:], c.auth[:]), AuthRefused: h.authRefused(),
		RowsDenied: c.denied.Load(), SnapshotErrors: c.snapshotErrors.Load(), OpsRepeated: c.repeated.Load(),
		WorkersRefused: h.queues.refused(), Resumes: named(resumeNames[:], c.resumes[:]),
		LookUps: map[string]histogram.Snapshot{"token": c.tokens.Read(), "row": c.rowFetches.Read()},
	}
	s.Durations["log_append"], s.Durations["log_read"] = c.logAppend.Read(), c.logRead.Read()
	bounds := h.logBounds()
	s.OldestSeq, s.LastSeq = bounds.Oldest, bounds.Last
	if h.rows != nil {
		r := h.rows.Stats()
		s.StoredRows, s.StoredBytes, s.RowsEvicted = r.Rows, r.Bytes, r.Evicted
	}
	s.Panics += h.panics.Count()
	s.Dropped["queue_lossy"] += h.leaves.dropped.Load()
	if h.opts.Peers != nil {
		s.Dropped["nodes"] = h.opts.Peers.Lost()
	}
	return s
}

func named(names []string, counts []atomic.Uint64) map[string]uint64 {
	m := make(map[string]uint64, len(names))
	for i, name := range names {
		m[name] = counts[i].Load()
	}
	return m
}
