package main

import (
	"math"
	"time"
)

func declareLog(t *flagTable, cfg *Config) {
	t.Group("Change log and rows")
	t.Int(&cfg.LogEvents, "log-events", 10_000, 1, maxCount,
		"change events kept for clients that reconnect")
	t.Size(&cfg.LogBytes, "log-bytes", 64*mib, kib, math.MaxInt,
		"bytes of change events kept for clients that reconnect; by default at most a 16th of the memory")
	t.URL(&cfg.RowsURL, "rows-url",
		"HTTP callback that supplies rows' snapshots and says who may read them; "+
			"empty = the snapshots that were published to this server")
	t.Duration(&cfg.RowsTimeout, "rows-timeout", 5*time.Second, 100*time.Millisecond,
		"how long a call of -rows-url may take")
	t.DurationUpTo(&cfg.RowsRecheck, "rows-recheck", 24*time.Hour,
		"how often -rows-url is asked again about each row that a client is subscribed to, so that a right "+
			"that was taken away ends the subscription; 0 = never")
	t.Int(&cfg.RowsMax, "rows-max", 100_000, 1, maxCount, "published snapshots that are stored")
	t.Size(&cfg.RowsBytes, "rows-bytes", 256*mib, kib, math.MaxInt,
		"bytes of published snapshots that are stored; by default at most an eighth of the memory")
}
