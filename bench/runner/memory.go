package runner

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Memory is what a server and the kernel hold at one moment, in bytes.
type Memory struct {
	Resident int64  `json:"resident"` // of the server's process
	Source   string `json:"source"`   // where Resident was read
	// Slab is the kernel's objects, of the whole machine: both ends of every connection,
	// and whatever else happened.
	Slab int64 `json:"slab"`
	// SocketBuffers is what TCP sockets of the machine hold in their queues.
	SocketBuffers int64 `json:"socket_buffers"`
}

// Minus is the growth since another.
func (m Memory) Minus(o Memory) Memory {
	return Memory{m.Resident - o.Resident, m.Source, m.Slab - o.Slab, m.SocketBuffers - o.SocketBuffers}
}

// ReadMemory looks at a process and at the kernel.
func ReadMemory(pid int) (Memory, error) {
	m := Memory{Source: "smaps_rollup, private and shared"}
	rollup, err := readKilobytes(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err == nil {
		m.Resident = rollup["Private_Clean"] + rollup["Private_Dirty"] + rollup["Shared_Clean"] + rollup["Shared_Dirty"]
	} else {
		m.Source = "status, VmRSS"
		status, err := readKilobytes(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return Memory{}, err
		}
		m.Resident = status["VmRSS"]
	}
	info, errInfo := readKilobytes("/proc/meminfo")
	m.Slab = info["Slab"]
	sockstat, errSock := os.ReadFile("/proc/net/sockstat")
	m.SocketBuffers = parseSockstat(string(sockstat)) * int64(os.Getpagesize())
	return m, errors.Join(errInfo, errSock)
}

// readKilobytes reads the lines of the form "Name:  12 kB" of a file, in bytes.
func readKilobytes(path string) (map[string]int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading memory: %w", err)
	}
	values := map[string]int64{}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[2] != "kB" {
			continue
		}
		if n, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
			values[strings.TrimSuffix(fields[0], ":")] = n << 10
		}
	}
	return values, nil
}

// parseSockstat reads the pages of TCP's buffers: "TCP: inuse 5 … mem 3".
func parseSockstat(text string) int64 {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "TCP:" {
			continue
		}
		for i := 1; i+1 < len(fields); i += 2 {
			if fields[i] == "mem" {
				pages, _ := strconv.ParseInt(fields[i+1], 10, 64)
				return pages
			}
		}
	}
	return 0
}

// ResetPeak has the kernel forget the highest resident memory of a process so far. Where it
// may not, the peak is that since the process began.
func ResetPeak(pid int) {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0) // proc_pid_clear_refs(5)
}

// PeakMemory is the highest resident memory of a process in bytes, since ResetPeak.
func PeakMemory(pid int) (int64, error) {
	status, err := readKilobytes(fmt.Sprintf("/proc/%d/status", pid))
	return status["VmHWM"], err
}
