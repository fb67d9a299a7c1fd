package main

import (
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strings"

	"github.com/busbar-ws/busbar/internal/memory"
)

// host is what /proc and /sys say about limits. It is read-only once it was read.
// A figure that couldn't be read is -1: kernels and containers leave some out.
type host struct {
	softFiles, hardFiles int64 // RLIMIT_NOFILE
	nrOpen, fileMax      int64
	somaxconn            int64
	synBacklog           int64
	ports                [2]int64 // first and last local port
	tcpMem               [3]int64 // pages: low, pressure, high
	tcpRmem, tcpWmem     [3]int64 // bytes: min, default, max
	conntrack            int64    // the table's size; -1 also when it isn't loaded
	memory               memory.Host
	cores                int64
	kernel               string
	locks                []byte // /proc/locks
	page                 int64  // bytes
}

// maxProcFile bounds what is read of one file, in bytes.
const maxProcFile = 1 << 20

// readHost reads below root, which is the host's root directory.
func readHost(root fs.FS) host {
	sysctl := func(name string) []byte { return readSmall(root, path.Join("proc/sys", name)) }
	h := host{
		nrOpen: first(sysctl("fs/nr_open")), fileMax: first(sysctl("fs/file-max")),
		somaxconn: first(sysctl("net/core/somaxconn")), synBacklog: first(sysctl("net/ipv4/tcp_max_syn_backlog")),
		conntrack: first(sysctl("net/netfilter/nf_conntrack_max")),
		kernel:    strings.TrimSpace(string(sysctl("kernel/osrelease"))),
		locks:     readSmall(root, "proc/locks"),
		cores:     int64(runtime.NumCPU()), page: int64(os.Getpagesize()),
	}
	h.softFiles, h.hardFiles = parseLimits(readSmall(root, "proc/self/limits"))
	parseNumbers(sysctl("net/ipv4/ip_local_port_range"), h.ports[:])
	parseNumbers(sysctl("net/ipv4/tcp_mem"), h.tcpMem[:])
	parseNumbers(sysctl("net/ipv4/tcp_rmem"), h.tcpRmem[:])
	parseNumbers(sysctl("net/ipv4/tcp_wmem"), h.tcpWmem[:])
	h.memory = memory.ReadHost(root)
	return h
}

// readSmall is empty for what can't be read.
func readSmall(root fs.FS, name string) []byte {
	file, err := root.Open(name)
	if err != nil {
		return nil
	}
	defer file.Close()
	// What was read before an error is as good as any: files in /proc end as they like.
	b, _ := io.ReadAll(io.LimitReader(file, maxProcFile))
	return b
}

// usable is the memory that a busbar could get now, in bytes; -1 when unknown.
func (h host) usable() int64 {
	if group := h.memory.Group; group >= 0 && (h.memory.Available < 0 || group < h.memory.Available) {
		return group
	}
	return h.memory.Available
}
