package main

import (
	"math"

	"github.com/busbar-ws/busbar/internal/memory"
)

const serveUsage = `Busbar hands one stream of events to every WebSocket.

Usage: busbar [serve] [flags]
       busbar session create|list|revoke, publish, tail, log, version, doctor (-help after any)

A flag on the command line beats its environment variable, which beats the default. A variable is
named BUSBAR_ and the flag's name in capitals, with _ for -; an empty one counts as not set.
Sizes are in bytes or take a unit: 64KiB is 65536, 64KB is 64000. Durations: 500ms, 25s, 1m30s, 24h.
BUSBAR_ADMIN_TOKEN may hold the admin token. No flag does: a process's arguments can be read by all.
`

// newServeFlags declares the daemon's flags and sets cfg to their defaults, which are the hub's and
// the event loops' where there is no other. What follows from the host or from other flags isn't known yet.
func newServeFlags(cfg *Config) *flagTable {
	o := &cfg.Hub
	o.SetDefaults()
	o.Loops.SetDefaults()
	o.Loops.Loops, o.Loops.Memory.BufferBytes, o.Rates.Subscribes.Burst = 0, 0, 0
	most := memory.Share(math.MaxInt64)
	o.MaxMessageOut, o.Loops.Memory.QueueBytes, o.Rows.MaxBytes, cfg.Log.Tail = most.Message, most.Queue, most.Rows, most.Log
	t := newFlagTable("busbar", serveUsage)
	t.environment = true
	declareNetwork(t, cfg)
	declareMessages(t, cfg)
	declareRates(t, cfg)
	declareLog(t, cfg)
	declareNodes(t, cfg)
	declareAuth(t, cfg)
	declareProcess(t, cfg)
	return t
}
