package metrics

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/histogram"
)

// Every figure of hub.Stats has a name below. Dashboards and alerts use the names, so they only
// ever get more. They end in their base unit, and totals in _total.
var families = slices.Concat(levels, traffic, losses, times, loops)

// levels are figures of this moment.
var levels = []family{
	gauge("busbar_connections", "Descriptors in use by clients, handshakes included.",
		func(s *hub.Stats) int { return s.Connections }),
	gauge("busbar_connections_max", "The most connections that this process can hold.",
		func(s *hub.Stats) int { return s.Capacity }),
	gauge("busbar_overflow_connections", "Connections beyond the most there may be, which are told to come back later.",
		func(s *hub.Stats) int { return s.Overflow }),
	gauge("busbar_handshakes", "Connections that haven't been upgraded yet.",
		func(s *hub.Stats) int { return s.Handshakes }),
	gauge("busbar_accept_paused_loops", "Event loops that accept nobody for the moment.",
		func(s *hub.Stats) int { return s.AcceptPaused }),
	gauge("busbar_clients", "Clients that are connected and authenticated.",
		func(s *hub.Stats) int { return s.Clients }),
	gauge("busbar_clients_lagging", "Clients that haven't taken all that was sent to them.",
		func(s *hub.Stats) int { return s.Lagging }),
	gauge("busbar_lag_max_bytes", "Bytes that wait for the client that is furthest behind in bytes.",
		func(s *hub.Stats) int64 { return s.Lag.Bytes }),
	gauge("busbar_lag_max_messages", "Messages that wait for the client that is furthest behind in messages.",
		func(s *hub.Stats) int64 { return s.Lag.Messages }),
	gauge("busbar_lag_max_seconds", "How long ago the client fell behind that has been behind for longest.",
		func(s *hub.Stats) float64 { return s.Lag.Seconds }),
	gauge("busbar_clients_compressed", "Clients that compression was negotiated with.",
		func(s *hub.Stats) int { return s.Deflating }),
	gauge("busbar_subscriptions", "Pairs of a client and a topic, entity or row that it subscribed to.",
		func(s *hub.Stats) int { return s.Subscriptions }),
	gauge("busbar_change_log_last_seq", "Seq of the newest change event.",
		func(s *hub.Stats) uint64 { return s.LastSeq }),
	gauge("busbar_change_log_oldest_seq", "Seq of the oldest change event that can be pulled.",
		func(s *hub.Stats) uint64 { return s.OldestSeq }),
	gauges("busbar_buffered_bytes", "Memory for messages on their way to clients (until the collector has freed them) or from them, and for requests, by kind.", "kind",
		func(s *hub.Stats) map[string]int64 { return s.Buffered }),
	gauge("busbar_buffered_max_bytes", "The most memory that may be buffered (-buffer-memory).",
		func(s *hub.Stats) int64 { return s.BufferCeiling }),
	gauge("busbar_overloaded", "1 while new connections and publishers are refused because of what is buffered.",
		func(s *hub.Stats) int { return s.Overloaded }),
	gauge("busbar_rows_stored", "Row snapshots in memory.",
		func(s *hub.Stats) int { return s.StoredRows }),
	gauge("busbar_rows_stored_bytes", "Size of the row snapshots in memory.",
		func(s *hub.Stats) int64 { return s.StoredBytes }),
}

// traffic is what went in and out as it should.
var traffic = []family{
	counters("busbar_messages_published_total", "Messages from publishers, by kind.", "kind",
		func(s *hub.Stats) map[string]uint64 { return s.Published }),
	counter("busbar_messages_relayed_total", "Presence and topic messages of clients that were relayed.",
		func(s *hub.Stats) uint64 { return s.Relayed }),
	counter("busbar_messages_received_total", "Messages from clients.",
		func(s *hub.Stats) uint64 { return s.MessagesIn }),
	counter("busbar_received_bytes_total", "Payload of the messages from clients.",
		func(s *hub.Stats) uint64 { return s.BytesIn }),
	counter("busbar_frames_delivered_total", "Messages that went to the kernel whole, counted per client.",
		func(s *hub.Stats) uint64 { return s.FramesDelivered }),
	counter("busbar_sent_bytes_total", "Bytes written to clients.",
		func(s *hub.Stats) uint64 { return s.BytesOut }),
	counter("busbar_messages_compressed_total", "Messages that were compressed, once each for all clients.",
		func(s *hub.Stats) uint64 { return s.Deflated }),
	counter("busbar_uncompressed_bytes_total", "Size of the messages that were compressed, before.",
		func(s *hub.Stats) uint64 { return s.DeflatedFrom }),
	counter("busbar_compressed_bytes_total", "Size of the messages that were compressed, after.",
		func(s *hub.Stats) uint64 { return s.DeflatedTo }),
	counter("busbar_sends_total", "System calls that wrote to a client.",
		func(s *hub.Stats) uint64 { return s.Sends }),
	counter("busbar_flushes_total", "Flushes of a loop that had something for everyone.",
		func(s *hub.Stats) uint64 { return s.Flushes }),
	counter("busbar_changes_repeated_total", "Changes that weren't applied because of an op_id that was there before.",
		func(s *hub.Stats) uint64 { return s.OpsRepeated }),
	counters("busbar_resumes_total", "Clients that came with the cursor of an event and went live: exact, told to resync on the way (resync), or at once (too_old).", "outcome",
		func(s *hub.Stats) map[string]uint64 { return s.Resumes }),
	counters("busbar_auth_decisions_total", "Upgrades by how their token was decided about.", "result",
		func(s *hub.Stats) map[string]uint64 { return s.Auth }),
}

// losses are what was refused, dropped or ended, and errors.
var losses = []family{
	counter("busbar_deliveries_owed_total", "Messages, each counted for each client that it was for: the sum of busbar_frames_delivered_total, busbar_deliveries_lost_total, busbar_deliveries_replaced_total and of those that still wait.",
		func(s *hub.Stats) uint64 { return s.Owed }),
	counterTable("busbar_deliveries_lost_total", "Messages that clients were owed and weren't sent, by cause (slow: too far behind; mailbox: a full one of the loop; memory: -buffer-memory; closed: the connection ended otherwise) and kind. With slow and memory it is also what a connection was owed that was ended for that; a Close that did not go out is none.", "cause", "kind",
		func(s *hub.Stats) map[string]map[string]uint64 { return s.Lost }),
	counters("busbar_deliveries_replaced_total", "Messages that clients were owed and need not be sent, by what they are given instead: a newer snapshot of the row, or the event from the change log, also when they come back with their cursors.", "by",
		func(s *hub.Stats) map[string]uint64 { return s.Replaced }),
	counters("busbar_messages_dropped_total", "Messages that didn't reach a loop's clients, or one client, by cause.", "cause",
		func(s *hub.Stats) map[string]uint64 { return s.Dropped }),
	counters("busbar_messages_ignored_total", "Messages of clients that weren't acted on, by reason.", "reason",
		func(s *hub.Stats) map[string]uint64 { return s.Ignored }),
	counters("busbar_messages_rate_limited_total", "Messages of clients that were dropped because of their rate, by what was limited.", "limit",
		func(s *hub.Stats) map[string]uint64 { return s.RateLimited }),
	counters("busbar_rate_limited_by_total", "The same, by whose limit it was: the connection's, its user's or its address's.", "scope",
		func(s *hub.Stats) map[string]uint64 { return s.RateLimitedBy }),
	counters("busbar_auth_refused_total", "Tokens that were refused, of upgrades and of the API's callers, by cause.", "cause",
		func(s *hub.Stats) map[string]uint64 { return s.AuthRefused }),
	counters("busbar_connections_closed_total", "Connections that ended or were refused, by cause.", "cause",
		func(s *hub.Stats) map[string]uint64 { return s.Closed }),
	counter("busbar_overflow_answers_total", "Requests answered that came when the server was full or shutting down.",
		func(s *hub.Stats) uint64 { return s.OverflowAnswers }),
	counters("busbar_accept_pauses_total", "How often an event loop stopped accepting for a while, by reason.", "reason",
		func(s *hub.Stats) map[string]uint64 { return s.AcceptPauses }),
	counter("busbar_accept_errors_total", "Accepts that failed, for want of descriptors or memory usually.",
		func(s *hub.Stats) uint64 { return s.AcceptErrors }),
	counters("busbar_upgrades_refused_total", "Upgrade requests that were answered otherwise, by class of HTTP status.", "class",
		func(s *hub.Stats) map[string]uint64 { return s.Refused }),
	counter("busbar_inflate_errors_total", "Compressed messages of clients that couldn't be inflated; each ended its connection.",
		func(s *hub.Stats) uint64 { return s.InflateErrors }),
	counter("busbar_row_subscriptions_denied_total", "Requests for rows that may not be read or don't exist.",
		func(s *hub.Stats) uint64 { return s.RowsDenied }),
	counter("busbar_rows_evicted_total", "Row snapshots that made room for newer ones.",
		func(s *hub.Stats) uint64 { return s.RowsEvicted }),
	counter("busbar_snapshot_errors_total", "Fetches of a row's snapshot that failed.",
		func(s *hub.Stats) uint64 { return s.SnapshotErrors }),
	counter("busbar_workers_refused_total", "Lookups, fetches and reads of the change log for which there was no room, or none for that user or address.",
		func(s *hub.Stats) uint64 { return s.WorkersRefused }),
	counter("busbar_slow_clients_replayed_total", "Times that a slow client was to be given events from the change log (-slow catch-up).",
		func(s *hub.Stats) uint64 { return s.LagReplays }),
	counter("busbar_slow_clients_superseded_total", "Row frames that a slow client wasn't sent because a newer snapshot of the row waited for it.",
		func(s *hub.Stats) uint64 { return s.LagSuperseded }),
	counter("busbar_handler_panics_total", "Panics in handlers and in what they call; each cost one connection or one call.",
		func(s *hub.Stats) uint64 { return s.Panics }),
}

// times are how long things took.
var times = []family{
	durations("busbar_broadcast_first_send_seconds",
		"From when a message for everyone went to the event loops (a change event is stored by then) until a loop began to send it; once for each loop.", "broadcast_first_send"),
	durations("busbar_broadcast_last_send_seconds",
		"From when a message for everyone went to the event loops until a loop had sent it to all of its clients but laggards; once for each loop.", "broadcast_last_send"),
	durations("busbar_flush_duration_seconds",
		"From when a loop began to send messages for everyone until all of its clients but laggards had been sent them, with what it did in between.", "flush"),
	durations("busbar_handshake_duration_seconds",
		"From when a connection was accepted until its client was let in, look-up of its token included.", "handshake"),
	durationsBy("busbar_lookup_duration_seconds",
		"How long whoever is asked about tokens, or supplies rows (-rows-url), took to answer; what is in memory isn't asked about.", "kind",
		func(s *hub.Stats) map[string]histogram.Snapshot { return s.LookUps }),
	durations("busbar_change_log_append_duration_seconds",
		"How long publishers' calls waited for the change log to store what they published, and for it to go to the event loops.", "log_append"),
	durations("busbar_change_log_read_duration_seconds",
		"How long reading a page of the change log took, for clients that catch up and for pulls.", "log_read"),
}

// loops are figures whose spread over the event loops matters.
var loops = []family{
	perLoop("busbar_loop_clients", "Open clients of an event loop.", prometheus.GaugeValue,
		func(l *eventloop.LoopStats) int { return l.Clients }),
	perLoopAnd("busbar_loop_connections", "Connections of an event loop, by state.", "state", prometheus.GaugeValue,
		func(l *eventloop.LoopStats) map[string]int { return l.Connections }),
	perLoop("busbar_loop_queue_frames", "Messages waiting in a loop's mailbox.", prometheus.GaugeValue,
		func(l *eventloop.LoopStats) int { return l.QueueFrames }),
	perLoop("busbar_loop_queue_bytes", "Size of the messages waiting in a loop's mailbox.", prometheus.GaugeValue,
		func(l *eventloop.LoopStats) int { return l.QueueBytes }),
	perLoop("busbar_loop_accepted_total", "Connections that a loop accepted.", prometheus.CounterValue,
		func(l *eventloop.LoopStats) uint64 { return l.Accepted }),
	perLoop("busbar_loop_wakes_total", "Turns of a loop that found messages in its mailbox.", prometheus.CounterValue,
		func(l *eventloop.LoopStats) uint64 { return l.Wakes }),
	perLoop("busbar_loop_unwanted_total", "Messages handed to a loop that had none of their subscribers.", prometheus.CounterValue,
		func(l *eventloop.LoopStats) uint64 { return l.Unwanted }),
	perLoop("busbar_loop_pings_received_total", "Pings from a loop's clients.", prometheus.CounterValue,
		func(l *eventloop.LoopStats) uint64 { return l.Pings }),
	perLoop("busbar_loop_pongs_received_total", "Pongs from a loop's clients.", prometheus.CounterValue,
		func(l *eventloop.LoopStats) uint64 { return l.Pongs }),
}
