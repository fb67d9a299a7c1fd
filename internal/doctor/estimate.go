package doctor

import (
	"cmp"
	"slices"
	"sort"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/internal/cli"
	"github.com/busbar-ws/busbar/internal/memory"
	"github.com/busbar-ws/busbar/subs"
)

// What a connection costs, in bytes. Busbar's share is its budget for an idle one, rounded up. The kernel's is the
// tcp_sock, inode, dentry, file and epoll item of an idle socket: 4.0 KiB each on Linux 6.18, measured over 8,000 loopback
// connections by the growth of Slab.
const (
	busbarBytes = 1 * cli.KiB
	socketBytes = 4 * cli.KiB
)

// bytesEach is what one connection takes.
type bytesEach struct {
	User     int64 `json:"user"`
	Kernel   int64 `json:"kernel"`
	UnderWay int64 `json:"under_way"` // in the kernel, besides, with data under way in both directions
}

func (b bytesEach) sum() int64 { return b.User + b.Kernel + b.UnderWay }

// connectionBytes reckons with the first figure of tcp_rmem and tcp_wmem for data under way: the kernel grants it to each
// socket even when memory is short. By default that is 4 KiB (tcp(7)).
func (h host) connectionBytes() bytesEach {
	b := bytesEach{User: busbarBytes, Kernel: socketBytes}
	for _, name := range []string{tcpRmem, tcpWmem} {
		if least := h.sysctl(name, 0); least >= 0 {
			b.UnderWay += least
		} else {
			b.UnderWay += 4 * cli.KiB
		}
	}
	return b
}

// Kept is what buffers, rows and change log may take, in bytes, with the compressed forms of the latter two. Rows that are
// fetched aren't stored; those that are being fetched take their share.
func (s *Server) Kept() int64 {
	stored, fetched := int64(s.Hub.Rows.MaxBytes)+int64(s.LogBytes), int64(0)
	if s.RowsFetched {
		stored, fetched = int64(s.LogBytes), int64(memory.Defaults().Rows)
	}
	if s.Hub.Loops.Compression != eventloop.CompressOff {
		stored *= 2
	}
	return int64(s.Hub.Loops.Memory.BufferBytes) + stored + fetched
}

// neededMemory is how much a server needs for so many connections with so many bytes each, when its buffers grow with
// the memory as far as they are the defaults.
func (h host) neededMemory(s *Server, connections, each int64) int64 {
	now := memory.Share(h.memory.Limit())
	larger := func(mib int) bool {
		limit, then := int64(mib)*cli.MiB, *s
		shares := memory.Share(limit)
		if s.Hub.Loops.Memory.BufferBytes == now.Buffers {
			then.Hub.Loops.Memory.BufferBytes = shares.Buffers
		}
		if s.Hub.Rows.MaxBytes == now.Rows {
			then.Hub.Rows.MaxBytes = shares.Rows
		}
		if s.LogBytes == now.Log {
			then.LogBytes = shares.Log
		}
		return limit/4*3-then.Kept() >= connections*each
	}
	return int64(sort.Search(1<<30, larger)) * cli.MiB
}

// capacity is what the server says at its start when it may have so many descriptors on so many cores.
func (s *Server) capacity(cores, descriptors int64) (eventloop.Capacity, error) {
	limit := int(min(descriptors, 1<<30))
	o := s.Hub.Loops
	o.Accept.Reserve = s.Reserve(0, limit)
	o.Loops = s.loops(cores)
	return o.Capacity(limit)
}

func (s *Server) loops(cores int64) int {
	return min(cmp.Or(s.Hub.Loops.Loops, int(max(cores, 1))), subs.MaxLoops)
}

// neededFiles is how many descriptors a server needs for so many connections.
func (h host) neededFiles(s *Server, connections int64) int64 {
	unlimited := *s
	unlimited.Hub.Loops.Accept.MaxConnections = 0
	room := func(more int) bool {
		c, err := unlimited.capacity(h.cores, connections+int64(more))
		return err == nil && int64(c.Connections) >= connections
	}
	// What is reserved is a part of all, and never more than some thousands.
	return connections + int64(sort.Search(int(connections)+10_000, room))
}

// limit is how many connections something is enough for.
type limit struct {
	Name        string `json:"name"`
	Connections int64  `json:"connections"`
}

// noLimit is more connections than any host holds.
const noLimit = 1 << 30

// otherFiles is how many files and sockets the rest of the host may have open.
const otherFiles = 10_000

// estimated is how many connections a server can have on a host, and why not more.
type estimated struct {
	capacity eventloop.Capacity // as far as descriptors and flags go; none when there are too few
	memory   int64              // connections that there is memory for; -1 when unknown
	limits   []limit            // the lowest first
}

func estimate(h host, s *Server) estimated {
	e := estimated{memory: -1}
	add := func(name string, known, connections int64) {
		if known >= 0 && connections < noLimit {
			e.limits = append(e.limits, limit{name, max(connections, 0)})
		}
	}
	flag := "-max-connections"
	var err error
	if e.capacity, err = s.capacity(h.cores, h.files); err != nil || e.capacity.LimitedBy != flag {
		flag = nofile // after an error, which is about descriptors alone, they are enough for none
	}
	add(flag, 0, int64(e.capacity.Connections))
	if usable := h.usable(); usable >= 0 { // of which a quarter is left to the rest of the host
		e.memory = max(usable/4*3-s.Kept(), 0) / h.connectionBytes().sum()
	}
	add("memory", e.memory, e.memory)
	files, tracked := h.sysctl(fileMax, 0), h.sysctl(conntrack, 0)
	add(fileMax, files, files-otherFiles)
	add(conntrack, tracked, tracked)
	// Beyond it the kernel grants no page to a socket's buffers: nothing is delivered until others are read.
	pages := h.sysctl(tcpMem, 2)
	add(tcpMem, pages, pages/2)
	slices.SortStableFunc(e.limits, func(a, b limit) int { return cmp.Compare(a.Connections, b.Connections) })
	return e
}
