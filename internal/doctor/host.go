package doctor

import (
	"bytes"
	"io/fs"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/busbar-ws/busbar/internal/memory"
	"golang.org/x/sys/unix"
)

// host is what /proc and /sys say about limits. It is read-only once it was read. A figure that couldn't be read is -1:
// kernels and containers leave some out.
type host struct {
	files   int64 // the hard RLIMIT_NOFILE
	sysctls map[string][]int64
	memory  memory.Host
	cores   int64
	locks   []byte // /proc/locks
	page    int64  // bytes
	processing
}

// read are the settings that are looked at, all of one to three numbers.
var read = []string{
	"fs.nr_open", fileMax, somaxconn, synMax, tcpMem, tcpRmem, tcpWmem, conntrack,
}

func sysctlFile(name string) string { return "proc/sys/" + strings.ReplaceAll(name, ".", "/") }

// readHost reads below root, which is the host's root directory.
func readHost(root fs.FS) host {
	h := host{
		sysctls: make(map[string][]int64), memory: memory.ReadHost(root),
		cores: int64(runtime.NumCPU()), page: int64(os.Getpagesize()), processing: readProcessing(root),
	}
	h.locks, _ = fs.ReadFile(root, "proc/locks")
	for _, name := range read {
		text, _ := fs.ReadFile(root, sysctlFile(name))
		for _, field := range strings.Fields(string(text)) {
			n, err := strconv.ParseUint(field, 10, 64)
			if err != nil {
				n = math.MaxUint64 // as good as none
			}
			h.sysctls[name] = append(h.sysctls[name], int64(min(n, math.MaxInt64)))
		}
	}
	var files unix.Rlimit
	_ = unix.Getrlimit(unix.RLIMIT_NOFILE, &files) // can't fail with these
	h.files = int64(min(files.Max, math.MaxInt64))
	return h
}

// sysctl is the number at a place in a setting.
func (h host) sysctl(name string, place int) int64 {
	if n := h.sysctls[name]; place < len(n) {
		return n[place]
	}
	return -1
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
