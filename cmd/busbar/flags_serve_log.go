package main

import (
	"fmt"
	"math"
	"time"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/disklog"
)

func declareLog(t *flagTable, cfg *Config) {
	t.Group("Change log and rows")
	t.Choice(&cfg.Log.Kind, "log", logDisk, []string{logDisk, logMemory, logNATS},
		"where change events are kept for clients that reconnect: on disk, in the data directory, where a publisher's answer "+
			"means that the event is stored; in memory, until the server ends; or on NATS, for several nodes")
	t.Int(&cfg.Log.Events, "log-events", 0, 0, 1<<30, fmt.Sprintf(
		"change events kept for clients that reconnect; 0 = %d on disk and NATS, %d in memory", disklog.DefaultEvents, hub.DefaultLogEvents))
	bytes := t.Size(&cfg.Log.Bytes, "log-bytes", 0, 0, math.MaxInt, fmt.Sprintf(
		"bytes of change events kept for clients that reconnect, and as many of published rows on NATS; "+
			"0 = %s on disk and NATS, in memory %s or at most a 16th of it",
		formatSize(disklog.DefaultBytes), formatSize(cfg.Log.Tail)))
	atLeast(bytes, &cfg.Log.Bytes, kib, "0, or a size of at least 1KiB, such as 64MiB")
	age := t.DurationUpTo(&cfg.Log.Age, "log-age", 10*365*24*time.Hour,
		"how long change events are kept on disk or NATS at most; 0 = until there are more than -log-events or -log-bytes")
	const leastAge = 100 * time.Millisecond // NATS'
	atLeast(age, &cfg.Log.Age, leastAge, "0s, or a duration from 100ms to 87600h, such as 24h")
	t.Size(&cfg.Log.Tail, "log-tail", cfg.Log.Tail, kib, math.MaxInt,
		"bytes of the newest change events that are in memory too, with -log disk or nats, to be read from there; "+
			"by default at most a 16th of the memory")
	t.URL(&cfg.SnapshotURL, "snapshot-url",
		"HTTP callback that supplies all that a client may see which begins with since=0; "+
			"empty = it gets what the log retains, and is told when that isn't all")
	t.Duration(&cfg.Hub.Views.Timeout, "snapshot-timeout", cfg.Hub.Views.Timeout, 100*time.Millisecond,
		"how long -snapshot-url may take for the next of its answer, up to 64 KiB or 512 events, and for its end")
	t.URL(&cfg.RowsURL, "rows-url",
		"HTTP callback that supplies rows' snapshots and says who may read them; "+
			"empty = the snapshots that were published to this server")
	t.Duration(&cfg.Hub.Rows.Timeout, "rows-timeout", cfg.Hub.Rows.Timeout, 100*time.Millisecond,
		"how long a call of -rows-url may take")
	t.DurationUpTo(&cfg.Hub.Rows.Recheck, "rows-recheck", 24*time.Hour,
		"how often -rows-url is asked again about each row that a client is subscribed to, so that a right "+
			"that was taken away ends the subscription; 0 = never")
	t.Int(&cfg.Hub.Rows.Max, "rows-max", cfg.Hub.Rows.Max, 1, maxCount, "published snapshots that are stored; with -log nats, that are in memory too")
	t.Size(&cfg.Hub.Rows.MaxBytes, "rows-bytes", cfg.Hub.Rows.MaxBytes, kib, math.MaxInt,
		"bytes of published snapshots that are stored, or with -log nats in memory too; by default at most an eighth of the memory")
}
