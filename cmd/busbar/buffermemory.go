package main

import (
	"io/fs"

	"github.com/busbar-ws/busbar/eventloop"
)

// memoryShare is the part of a host's memory that may be buffered unless -buffer-memory says
// otherwise: a quarter. Go's garbage is up to a third of that on top; the kernel's socket
// buffers, the connections, the change log and the rows need the rest.
const memoryShare = 4

// bufferMemory is the ceiling in bytes. By default it is a share of the host's memory below
// root, or of the control group's limit where that is less, and never less than least.
func (c *Config) bufferMemory(root fs.FS, least int) int {
	if c.BufferMemory > 0 {
		return c.BufferMemory
	}
	h := host{cgroupMemory: readCgroupMemory(root)}
	h.memory, _ = parseMeminfo(readSmall(root, "proc/meminfo"))
	return max(least, h.shareOfMemory())
}

// shareOfMemory is a share of the memory that a process may come to use; 0 when that can't be told.
func (h host) shareOfMemory() int {
	memory := max(h.memory, 0)
	if h.cgroupMemory >= 0 && (h.memory < 0 || h.cgroupMemory < h.memory) {
		memory = h.cgroupMemory
	}
	return int(memory / memoryShare)
}

// defaultBuffers is the ceiling of a server with default flags.
func defaultBuffers(h host) int {
	o := eventloop.Options{QueueBytes: loopQueueBytes}
	return max(o.LeastBufferBytes(), h.shareOfMemory())
}

// validateBufferMemory names the flag that asks for more than fits.
func (c *Config) validateBufferMemory() error {
	o := eventloop.Options{QueueBytes: c.QueueBytes, LagBytes: c.LagBytes}
	if c.BufferMemory == 0 || c.BufferMemory >= o.LeastBufferBytes() {
		return nil
	}
	name, size := "queue-bytes", c.QueueBytes
	if c.LagBytes > c.QueueBytes {
		name, size = "lag-bytes", c.LagBytes
	}
	return usagef("%s: %q is less than twice %s %s, so that one queue alone could have clients ended",
		c.source("buffer-memory"), formatSize(c.BufferMemory), c.source(name), formatSize(size))
}
