package main

import (
	"fmt"
	"sort"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/internal/memory"
	"github.com/busbar-ws/busbar/subs"
)

// What a connection costs, in bytes. Busbar's share is its budget for an idle one, rounded
// up. The kernel's is the tcp_sock, inode, dentry, file and epoll item of an idle socket:
// 4.0 KiB each on Linux 6.18, measured over 8,000 loopback connections by the growth of Slab.
const (
	busbarBytes = 1 * kib
	socketBytes = 4 * kib
)

// capacity is what a server with these flags says at its start when it may have so many
// descriptors on so many cores.
func (cfg *Config) capacity(cores, descriptors int64) (eventloop.Capacity, error) {
	const most = 1 << 30
	limit := int(min(descriptors, most))
	o := cfg.Hub.Loops
	o.Accept.Reserve = cfg.reserve(0, limit)
	if o.Loops == 0 {
		o.Loops = int(max(cores, 1))
	}
	o.Loops = min(o.Loops, subs.MaxLoops)
	return o.Capacity(limit)
}

// neededFiles is how many descriptors a server needs for so many connections.
func (h host) neededFiles(cfg *Config, connections int64) int64 {
	unlimited := *cfg
	unlimited.Hub.Loops.Accept.MaxConnections = 0
	room := func(more int) bool {
		c, err := unlimited.capacity(h.cores, connections+int64(more))
		return err == nil && int64(c.Connections) >= connections
	}
	// What is reserved is a part of all, and never more than some thousands.
	return connections + int64(sort.Search(int(connections)+10_000, room))
}

// connectionBytes is what a connection costs with data under way in both directions:
// the kernel grants each socket the first figure of tcp_rmem and tcp_wmem even when
// memory is short.
func (h host) connectionBytes() int64 {
	return busbarBytes + socketBytes + bufferBytes(h.tcpRmem) + bufferBytes(h.tcpWmem)
}

func bufferBytes(setting [3]int64) int64 {
	if setting[0] < 0 {
		return 4 * kib // the kernel's default, tcp(7)
	}
	return setting[0]
}

// kept is what buffers, rows and change log may take, in bytes, with the compressed forms of the
// latter two. With -rows-url no row is stored; those that are being fetched take their share.
func (cfg *Config) kept() int64 {
	log, _ := cfg.Log.inMemory()
	stored, fetched := int64(cfg.Hub.Rows.MaxBytes)+int64(log), int64(0)
	if cfg.RowsURL != "" {
		stored, fetched = int64(log), int64(memory.Defaults().Rows)
	}
	if cfg.Hub.Loops.Compression != eventloop.CompressOff {
		stored *= 2
	}
	return int64(cfg.Hub.Loops.Memory.BufferBytes) + stored + fetched
}

// estimated is how many connections a server can have on a host, and why not more.
type estimated struct {
	capacity eventloop.Capacity // as far as descriptors and flags go; none when those are unknown
	memory   int64              // connections that there is memory for; -1 when unknown
}

func estimate(h host, cfg *Config) estimated {
	e := estimated{memory: -1}
	if h.hardFiles >= 0 {
		e.capacity, _ = cfg.capacity(h.cores, h.hardFiles) // that there are too few is said of RLIMIT_NOFILE
	}
	if usable := h.usable(); usable >= 0 {
		// A quarter is left to the rest of the host.
		e.memory = max(usable/4*3-cfg.kept(), 0) / h.connectionBytes()
	}
	return e
}

// connections is how many there can be; 0 when that is unknown.
func (e estimated) connections() int64 {
	n := int64(e.capacity.Connections)
	if e.memory >= 0 && (n == 0 || e.memory < n) {
		n = e.memory
	}
	return n
}

// sentence is what it comes to. asked is 0 when no number was named.
func (e estimated) sentence(asked int64) string {
	text := ""
	if e.capacity.Connections > 0 {
		text = fmt.Sprintf("A server here takes up to %d connections: limited by %s. ", e.capacity.Connections, e.capacity.LimitedBy)
	}
	if e.memory >= 0 {
		text += fmt.Sprintf("There is memory for about %d. ", e.memory)
	}
	switch n := e.connections(); {
	case text == "":
		return "How many connections fit can't be told: /proc shows neither memory nor limits."
	case asked > n:
		text += fmt.Sprintf("That is less than %d (-connections).", asked)
	case asked > 0:
		text += fmt.Sprintf("That is enough for %d (-connections).", asked)
	}
	return text
}
