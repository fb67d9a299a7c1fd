package main

import (
	"math"
	"time"

	"github.com/busbar-ws/busbar/hub"
)

func declareLog(t *flagTable, cfg *Config) {
	t.Group("Change log and rows")
	t.Int(&cfg.LogEvents, "log-events", hub.DefaultLogEvents, 1, maxCount,
		"change events kept for clients that reconnect")
	t.Size(&cfg.LogBytes, "log-bytes", cfg.LogBytes, kib, math.MaxInt,
		"bytes of change events kept for clients that reconnect; by default at most a 16th of the memory")
	t.URL(&cfg.SnapshotURL, "snapshot-url",
		"HTTP callback that supplies all that a client may see which begins with since=0; "+
			"empty = it gets what the log retains, and is told when that isn't all")
	t.Duration(&cfg.Hub.Views.Timeout, "snapshot-timeout", cfg.Hub.Views.Timeout, 100*time.Millisecond,
		"how long -snapshot-url may take for 64 KiB of its answer, or for what there is of it")
	t.URL(&cfg.RowsURL, "rows-url",
		"HTTP callback that supplies rows' snapshots and says who may read them; "+
			"empty = the snapshots that were published to this server")
	t.Duration(&cfg.Hub.Rows.Timeout, "rows-timeout", cfg.Hub.Rows.Timeout, 100*time.Millisecond,
		"how long a call of -rows-url may take")
	t.DurationUpTo(&cfg.Hub.Rows.Recheck, "rows-recheck", 24*time.Hour,
		"how often -rows-url is asked again about each row that a client is subscribed to, so that a right "+
			"that was taken away ends the subscription; 0 = never")
	t.Int(&cfg.Hub.Rows.Max, "rows-max", cfg.Hub.Rows.Max, 1, maxCount, "published snapshots that are stored")
	t.Size(&cfg.Hub.Rows.MaxBytes, "rows-bytes", cfg.Hub.Rows.MaxBytes, kib, math.MaxInt,
		"bytes of published snapshots that are stored; by default at most an eighth of the memory")
}
