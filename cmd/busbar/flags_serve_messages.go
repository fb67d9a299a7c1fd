package main

import (
	"math"
	"time"
)

const (
	// minMessage is the longest payload of a control frame (RFC 6455 section 5.5),
	// which every endpoint has to take.
	minMessage = 125
	// maxCount bounds whatever is counted in memory: 2^24.
	maxCount = 1 << 24
)

func declareMessages(t *flagTable, cfg *Config) {
	t.Group("Messages")
	o := &cfg.Hub.Loops
	t.Size(&o.MaxMessageIn, "max-message-in", o.MaxMessageIn, minMessage, gib,
		"a larger message from a client closes its connection with 1009")
	t.Size(&cfg.Hub.MaxMessageOut, "max-message-out", cfg.Hub.MaxMessageOut, minMessage, gib,
		"a larger message is an error to its publisher; by default at most a 16th of the memory, or PYLON_WS_MAX_FRAME (bytes)")
	choice(t, &o.Compression, "compression", compressions,
		"permessage-deflate for clients that offer it: none; of what is sent (out), where a client's "+
			"compressed message may have 4KiB inflated; or both ways, up to -max-message-in (on)")
	t.Size(&o.CompressionThreshold, "compression-threshold", o.CompressionThreshold, 1, gib,
		"messages shorter than that are sent uncompressed")
	t.Int(&o.Memory.QueueMessages, "queue-messages", o.Memory.QueueMessages, 1, maxCount,
		"messages that may wait for one event loop; the oldest lossy one is dropped beyond it")
	t.Size(&o.Memory.QueueBytes, "queue-bytes", o.Memory.QueueBytes, minMessage, math.MaxInt,
		"bytes that may wait for one event loop; at least -max-message-out; by default at most an eighth of the memory")
	choice(t, &o.Slow.Policy, "slow", slowPolicies,
		"what happens to a client that falls behind by -lag-time or -lag-bytes; drop-oldest is for those that connect with since and know resync: who doesn't is closed with 1013 before it misses anything; "+
			"catch-up lets go of change events too, and gives them from the change log once the client reads")
	t.Duration(&o.Slow.LagTime, "lag-time", o.Slow.LagTime, 100*time.Millisecond,
		"how long a client that is behind may acknowledge nothing of what it was sent, before -slow acts")
	t.Size(&o.Slow.LagBytes, "lag-bytes", o.Slow.LagBytes, 4*kib, math.MaxInt,
		"how many bytes may wait for a client beside the largest message among them, before -slow acts")
	t.Size(&o.Memory.BufferBytes, "buffer-memory", 0, 0, math.MaxInt,
		"memory for all that is buffered for clients and from them: near it those that are furthest behind go, then "+
			"newcomers are refused; 0 = a quarter of the memory, which is the host's, or the control group's limit where that is less")
	choice(t, &cfg.Hub.Seqs, "seq", seqs,
		"who numbers change events: this server, or their publishers (given), each above all before it")
	choice(t, &cfg.Hub.Routing, "routing", routings,
		"who gets topic messages and change events: every client, or only those that subscribed")
	choice(t, &cfg.Hub.Relays, "relays", relays,
		"whom presence and topic messages of clients reach, and the news that one has left: its tenant's clients "+
			"(those without a tenant are a group too), every client, or nobody; an admin's reach every client unless off")
	t.Int(&cfg.Hub.MaxSubscriptions, "max-subscriptions", cfg.Hub.MaxSubscriptions, 1, maxCount,
		"subscriptions that one connection may hold")
}
