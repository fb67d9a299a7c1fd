package main

import (
	"math"
	"time"

	"github.com/busbar-ws/busbar/hub"
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
	t.Size(&cfg.MaxMessageIn, "max-message-in", 64*kib, minMessage, gib,
		"a larger message from a client closes its connection with 1009")
	t.Size(&cfg.MaxMessageOut, "max-message-out", 16*mib, minMessage, gib,
		"a larger message is an error to its publisher; by default at most a 16th of the memory, or PYLON_WS_MAX_FRAME (bytes)")
	declareCompression(t, cfg)
	t.Int(&cfg.QueueMessages, "queue-messages", 1024, 1, maxCount,
		"messages that may wait for one event loop; the oldest lossy one is dropped beyond it")
	t.Size(&cfg.QueueBytes, "queue-bytes", 64*mib, minMessage, math.MaxInt,
		"bytes that may wait for one event loop; at least -max-message-out; by default at most an eighth of the memory")
	t.Choice(&cfg.Slow, "slow", slowDisconnect, []string{slowDisconnect, slowDropOldest},
		"what happens to a client that falls behind by -lag-time or -lag-bytes; drop-oldest is for those that connect with since and know resync: who doesn't is closed with 1013 before it misses anything")
	t.Duration(&cfg.LagTime, "lag-time", 5*time.Second, 100*time.Millisecond,
		"how long a client that is behind may acknowledge nothing of what it was sent, before -slow acts")
	t.Size(&cfg.LagBytes, "lag-bytes", mib, 4*kib, math.MaxInt,
		"how many bytes may wait for a client beside the largest message among them, before -slow acts")
	t.Size(&cfg.BufferMemory, "buffer-memory", 0, 0, math.MaxInt,
		"memory for all that is buffered for clients and from them: near it those that are furthest behind go, then "+
			"newcomers are refused; 0 = a quarter of the memory, which is the host's, or the control group's limit where that is less")
	t.Choice(&cfg.Routing, "routing", routeAll, []string{routeAll, routeSubscribed},
		"who gets topic messages and change events: every client, or only those that subscribed")
	t.Choice(&cfg.Relays, "relays", relayTenant, []string{relayTenant, relayAll, relayOff},
		"whom presence and topic messages of clients reach, and the news that one has left: its tenant's clients "+
			"(those without a tenant are a group too), every client, or nobody; an admin's reach every client unless off")
	t.Int(&cfg.MaxSubscriptions, "max-subscriptions", hub.DefaultSubscriptions, 1, maxCount,
		"subscriptions that one connection may hold")
}
