package main

import (
	"cmp"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/disklog"
	"github.com/busbar-ws/busbar/internal/memory"
)

// fitMemory lowers the sizes that weren't given to their shares of the memory, and fills in what depends on
// other flags.
func (c *Config) fitMemory(s memory.Shares) {
	for _, size := range []struct {
		flag  string
		value *int
		share int
	}{
		{"max-message-out", &c.Hub.MaxMessageOut, s.Message},
		{"queue-bytes", &c.Hub.Loops.Memory.QueueBytes, s.Queue},
		{"lag-bytes", &c.Hub.Loops.Slow.LagBytes, s.Lag},
		{"log-tail", &c.Log.Tail, s.Log},
		{"rows-bytes", &c.Hub.Rows.MaxBytes, s.Rows},
	} {
		if c.sources[size.flag] == "" {
			*size.value = min(*size.value, size.share)
		}
	}
	events, bytes := disklog.DefaultEvents, disklog.DefaultBytes
	if c.Log.Kind == logMemory {
		events, bytes = hub.DefaultLogEvents, s.Log
	}
	c.Log.Events, c.Log.Bytes = cmp.Or(c.Log.Events, events), cmp.Or(c.Log.Bytes, bytes)
	if c.Hub.Loops.Memory.BufferBytes == 0 {
		c.Hub.Loops.Memory.BufferBytes = s.Buffers
	}
}

// validateBufferMemory names the flag that asks for more than fits.
func (c *Config) validateBufferMemory() error {
	o := &c.Hub.Loops
	if o.Memory.BufferBytes >= o.LeastBufferBytes() {
		return nil
	}
	name, size := "queue-bytes", o.Memory.QueueBytes
	if o.Slow.LagBytes > o.Memory.QueueBytes {
		name, size = "lag-bytes", o.Slow.LagBytes
	}
	if c.sources["buffer-memory"] == "" {
		return usagef("%s: %q is more than %s, half of -buffer-memory, which is a quarter of the memory by default",
			c.source(name), formatSize(size), formatSize(o.Memory.BufferBytes/2))
	}
	return usagef("%s: %q is less than twice %s %s, so that one queue alone could have clients ended",
		c.source("buffer-memory"), formatSize(o.Memory.BufferBytes), c.source(name), formatSize(size))
}
