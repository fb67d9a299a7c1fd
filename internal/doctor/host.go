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

// host is what /proc and /sys say about limits. It is read-only once it was read. A figure that couldn't be read is -1:
// kernels and containers leave some out.
type host struct {
	softFiles, hardFiles int64 // RLIMIT_NOFILE
	sysctls              map[string][]int64
	memory               memory.Host
	cores                int64
	kernel               string
	locks                []byte // /proc/locks
	page                 int64  // bytes
}

// read are the settings that are looked at, all of one to three numbers.
var read = []string{
	"fs.nr_open", "fs.file-max", "net.core.somaxconn", "net.ipv4.tcp_max_syn_backlog", "net.ipv4.ip_local_port_range",
	"net.ipv4.tcp_mem", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem", "net.netfilter.nf_conntrack_max",
}

func sysctlFile(name string) string { return "proc/sys/" + strings.ReplaceAll(name, ".", "/") }

// readHost reads below root, which is the host's root directory.
func readHost(root fs.FS) host {
	h := host{
		sysctls: make(map[string][]int64), memory: memory.ReadHost(root),
		kernel: strings.TrimSpace(string(readSmall(root, "proc/sys/kernel/osrelease"))), locks: readSmall(root, "proc/locks"),
		cores: int64(runtime.NumCPU()), page: int64(os.Getpagesize()),
	}
	for _, name := range read {
		h.sysctls[name] = numbers(readSmall(root, sysctlFile(name)))
	}
	h.softFiles, h.hardFiles = parseLimits(readSmall(root, "proc/self/limits"))
	return h
}

// sysctl is the number at a place in a setting.
func (h host) sysctl(name string, place int) int64 {
	if n := h.sysctls[name]; place < len(n) {
		return n[place]
	}
	return -1
}

// readSmall is empty for what can't be read.
func readSmall(root fs.FS, name string) []byte {
	file, err := root.Open(path.Clean(name))
	if err != nil {
		return nil
	}
	defer file.Close()
	// What was read before an error is as good as any: files in /proc end as they like.
	b, _ := io.ReadAll(io.LimitReader(file, 1<<20))
	return b
}

// numbers reads numbers that aren't negative, separated by space; -1 for what is none. fs.file-max is 2^63-1 by default,
// and some limits go up to 2^64-1: they count as MaxInt64.
func numbers(text []byte) (all []int64) {
	for _, field := range strings.Fields(string(text)) {
		n, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			all = append(all, -1)
			continue
		}
		all = append(all, int64(min(n, math.MaxInt64)))
	}
	return all
}

// parseLimits finds RLIMIT_NOFILE in /proc/self/limits; -1 when it isn't there.
func parseLimits(text []byte) (soft, hard int64) {
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte("Max open files")); ok {
			n := append(numbers(bytes.ReplaceAll(rest, []byte("unlimited"), []byte("18446744073709551615"))), -1, -1)
			return n[0], n[1]
		}
	}
	return -1, -1
}

// usable is the memory that a busbar could get now, in bytes; -1 when unknown.
func (h host) usable() int64 {
	if group := h.memory.Group; group >= 0 && (h.memory.Available < 0 || group < h.memory.Available) {
		return group
	}
	return h.memory.Available
}

// lockHeld looks in /proc/locks for a flock(2) on the file with that inode.
func lockHeld(locks []byte, inode uint64) bool {
	for line := range bytes.Lines(locks) {
		// 1: FLOCK  ADVISORY  WRITE 708 00:17:13298 0 EOF
		f := strings.Fields(string(line))
		if len(f) >= 6 && f[1] == "FLOCK" && strings.HasSuffix(f[5], ":"+strconv.FormatUint(inode, 10)) {
			return true
		}
	}
	return false
}

// parseKernel reads the first two numbers of a release such as "6.12.9-amd64".
func parseKernel(release string) (major, minor int, ok bool) {
	first, rest, _ := strings.Cut(release, ".")
	end := strings.IndexFunc(rest+" ", func(r rune) bool { return r < '0' || r > '9' })
	major, err1 := strconv.Atoi(first)
	minor, err2 := strconv.Atoi(rest[:end])
	return major, minor, err1 == nil && err2 == nil
}
