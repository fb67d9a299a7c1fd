// Package memory knows how much memory this process may come to use, and shares it out: whatever
// is bounded in bytes has its default from here, so that the sum stays below what there is.
package memory

import (
	"bytes"
	"io/fs"
	"math"
	"os"
	"strconv"
	"sync"

	"github.com/busbar-ws/busbar/internal/cgroup"
)

// Host is what /proc and /sys say, in bytes; -1 for what they don't.
type Host struct {
	Total     int64 // MemTotal
	Available int64 // MemAvailable
	Group     int64 // the lowest limit of the process's control group and of those above it; -1 also for none
}

// ReadHost reads below root, which is the host's root directory.
func ReadHost(root fs.FS) Host {
	h := Host{Total: -1, Available: -1, Group: -1}
	for line := range bytes.Lines(read(root, "proc/meminfo")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		kib := number(bytes.TrimSuffix(bytes.TrimSpace(value), []byte(" kB")))
		if kib < 0 || kib > math.MaxInt64/1024 {
			continue
		}
		switch string(name) {
		case "MemTotal":
			h.Total = kib * 1024
		case "MemAvailable":
			h.Available = kib * 1024
		}
	}
	for _, name := range cgroup.Files(root, "memory", "memory.limit_in_bytes", "memory.max") {
		// Version 1 writes the largest number of whole pages for "no limit", version 2 "max".
		if n := number(read(root, name)); n >= 0 && n < noLimit && (h.Group < 0 || n < h.Group) {
			h.Group = n
		}
	}
	return h
}

// noLimit is below version 1's "no limit" whatever the size of a page.
const noLimit = math.MaxInt64 &^ (1<<20 - 1)

// read is empty for what can't be read.
func read(root fs.FS, name string) []byte {
	text, _ := fs.ReadFile(root, name)
	return text
}

// number is -1 for a text that is none, or that no int64 holds.
func number(text []byte) int64 {
	n, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// Limit is the memory that a process may come to use: the host's, or the control group's limit
// where that is less. What can't be told is taken for half a GiB.
func (h Host) Limit() int64 {
	limit := h.Total
	if h.Group >= 0 && (limit < 0 || h.Group < limit) {
		limit = h.Group
	}
	if limit < 0 {
		return 512 << 20
	}
	return limit
}

// Shares are the defaults of what is bounded in bytes. Invariant: Buffers, twice Rows and Log
// (each keeps a compressed form of what it has, where clients take that), Tokens and BadTokens
// come to less than Heap. What is left to it are connections, and what is being worked on; a
// quarter of the limit is the kernel's, for sockets, and what isn't Go's.
type Shares struct {
	Heap      int64 // the Go runtime's memory limit
	Buffers   int   // all that is buffered for clients and from them
	Queue     int   // waiting for one event loop; a part of Buffers, as two of them fit
	Lag       int   // waiting for one client; a part of Buffers, as two of them fit
	Message   int   // a publisher's message; two of them fit into Queue
	Rows      int   // stored snapshots, or those that are being fetched from a service
	Log       int   // change events
	Tokens    int   // identities of tokens that were looked up
	BadTokens int   // tokens that stand for none
}

// Share is what a process that may use so many bytes has of each.
func Share(limit int64) Shares {
	limit = max(limit, 16<<20) // none can do with less
	part := func(n, most int64) int { return int(min(limit/n, most)) }
	return Shares{
		Heap:      limit / 4 * 3,
		Buffers:   part(4, math.MaxInt64),
		Queue:     part(8, 64<<20),
		Lag:       part(16, 5<<20),
		Message:   part(16, 16<<20),
		Rows:      part(8, 256<<20),
		Log:       part(16, 64<<20),
		Tokens:    part(32, 1<<30),
		BadTokens: part(64, 8<<20),
	}
}

// Defaults are the shares of this process.
var Defaults = sync.OnceValue(func() Shares { return Share(ReadHost(os.DirFS("/")).Limit()) })
