package main

import (
	"fmt"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/subs"
)

// What a connection costs, in bytes. Busbar's share is its budget for an idle one, rounded
// up. The kernel's is the tcp_sock, inode, dentry, file and epoll item of an idle socket:
// 4.0 KiB each on Linux 6.18, measured over 8,000 loopback connections by the growth of Slab.
const (
	busbarBytes = 1 * kib
	socketBytes = 4 * kib
)

// queueBytes is what Busbar's buffers may hold by default when everything is full: the
// change log and the stored rows; and per loop what waits for it.
const (
	queueBytes     = 64*mib + 256*mib
	loopQueueBytes = 64 * mib
)

// neededFiles is how many descriptors a server with so many connections needs.
func (h host) neededFiles(connections int64) int64 {
	need := connections
	for range 64 { // what is reserved grows by at most a quarter of what is added
		more := connections + h.reservedFiles(need)
		if more == need {
			break
		}
		need = more
	}
	return need
}

// reservedFiles is about what a server keeps for itself of so many descriptors; callbacks
// (-rows-url and the like) are counted in.
func (h host) reservedFiles(descriptors int64) int64 {
	const files = 40
	n := int(min(descriptors, maxConnections))
	loops := int(min(max(h.cores, 1), subs.MaxLoops))
	return int64(files + apiConnections(n) + min(n/16, 128) + eventloop.OwnDescriptors(loops, n))
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

// estimated is how many connections a host could hold, and why not more.
type estimated struct {
	files, memory int64 // connections that each allows; -1 when unknown
	loops         int64
	each, usable  int64 // bytes
}

func estimate(h host) estimated {
	e := estimated{files: -1, memory: -1, loops: max(h.cores, 1), each: h.connectionBytes(), usable: h.usable()}
	if h.hardFiles >= 0 {
		e.files = max(h.hardFiles-h.reservedFiles(h.hardFiles), 0)
	}
	if e.usable >= 0 {
		// A quarter is left to the rest of the host.
		e.memory = max(e.usable/4*3-queueBytes-loopQueueBytes*e.loops, 0) / e.each
	}
	return e
}

// sentence is what it comes to.
func (e estimated) sentence(asked int) string {
	n, limit := e.memory, "memory"
	if n < 0 || e.files >= 0 && e.files < n {
		n, limit = e.files, "descriptors (RLIMIT_NOFILE)"
	}
	if n < 0 {
		return "How many connections fit can't be told: /proc shows neither memory nor limits."
	}
	n = min(n, maxConnections)
	enough := "enough for"
	if n < int64(asked) {
		enough = "less than"
	}
	return fmt.Sprintf("A busbar on this host can hold about %d connections, limited by %s: %s %d (-connections).", n, limit, enough, asked)
}
