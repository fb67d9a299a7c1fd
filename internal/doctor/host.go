package doctor

import (
	"bytes"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"runtime"
	"strconv"
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

// parseNumbers reads as many numbers as into holds, separated by space; -1 for each that
// isn't there.
func parseNumbers(text []byte, into []int64) {
	fields := strings.Fields(string(text))
	for i := range into {
		into[i] = -1
		if i >= len(fields) {
			continue
		}
		if n, err := parseLimit(fields[i]); err == nil {
			into[i] = n
		}
	}
}

// parseLimit reads a number that is not negative. fs.file-max is 2^63-1 by default, and
// some limits go up to 2^64-1: they count as MaxInt64.
func parseLimit(text string) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	return int64(min(n, math.MaxInt64)), err
}

func first(text []byte) int64 {
	var n [1]int64
	parseNumbers(text, n[:])
	return n[0]
}

// parseLimits finds RLIMIT_NOFILE in /proc/self/limits; -1 when it isn't there.
func parseLimits(text []byte) (soft, hard int64) {
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte("Max open files")); ok {
			var n [2]int64
			parseNumbers(bytes.ReplaceAll(rest, []byte("unlimited"), []byte("9223372036854775807")), n[:])
			return n[0], n[1]
		}
	}
	return -1, -1
}

// lockHeld looks in /proc/locks for a flock(2) on the file with that inode.
func lockHeld(locks []byte, inode uint64) bool {
	for line := range bytes.Lines(locks) {
		// 1: FLOCK  ADVISORY  WRITE 708 00:17:13298 0 EOF
		f := strings.Fields(string(line))
		if len(f) < 6 || f[1] != "FLOCK" {
			continue
		}
		at := strings.LastIndexByte(f[5], ':')
		if n, err := strconv.ParseUint(f[5][at+1:], 10, 64); err == nil && n == inode {
			return true
		}
	}
	return false
}

// parseKernel reads the first two numbers of a release such as "6.12.9-amd64".
func parseKernel(release string) (major, minor int, ok bool) {
	parts := strings.SplitN(release, ".", 3)
	if len(parts) < 2 {
		return 0, 0, false
	}
	digits := strings.IndexFunc(parts[1], func(r rune) bool { return r < '0' || r > '9' })
	if digits < 0 {
		digits = len(parts[1])
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1][:digits])
	return major, minor, err1 == nil && err2 == nil
}
