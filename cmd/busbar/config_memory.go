package main

import (
	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/internal/memory"
)

// fitMemory lowers the sizes that weren't given to their shares of the memory.
func (c *Config) fitMemory(s memory.Shares) {
	for _, size := range []struct {
		flag  string
		value *int
		share int
	}{
		{"max-message-out", &c.MaxMessageOut, s.Message},
		{"queue-bytes", &c.QueueBytes, s.Queue},
		{"log-bytes", &c.LogBytes, s.Log},
		{"rows-bytes", &c.RowsBytes, s.Rows},
	} {
		if c.sources[size.flag] == "" {
			*size.value = min(*size.value, size.share)
		}
	}
	if c.BufferMemory == 0 {
		c.BufferMemory = s.Buffers
	}
}

// validateBufferMemory names the flag that asks for more than fits.
func (c *Config) validateBufferMemory() error {
	o := eventloop.Options{Memory: eventloop.MemoryOptions{QueueBytes: c.QueueBytes}, Slow: eventloop.SlowOptions{LagBytes: c.LagBytes}}
	if c.BufferMemory >= o.LeastBufferBytes() {
		return nil
	}
	name, size := "queue-bytes", c.QueueBytes
	if c.LagBytes > c.QueueBytes {
		name, size = "lag-bytes", c.LagBytes
	}
	if c.sources["buffer-memory"] == "" {
		return usagef("%s: %q is more than %s, half of -buffer-memory, which is a quarter of the memory by default",
			c.source(name), formatSize(size), formatSize(c.BufferMemory/2))
	}
	return usagef("%s: %q is less than twice %s %s, so that one queue alone could have clients ended",
		c.source("buffer-memory"), formatSize(c.BufferMemory), c.source(name), formatSize(size))
}
