package runner

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// CPU is time on the processor, in nanoseconds.
type CPU struct {
	Process   int64 `json:"process_ns"`   // all threads of the server, exact
	User      int64 `json:"user_ns"`      // of that in user space, to a hundredth of a second
	System    int64 `json:"system_ns"`    // of that in the kernel, to a hundredth of a second
	Ksoftirqd int64 `json:"ksoftirqd_ns"` // ksoftirqd of the server's cores; 0 when it can't be seen
	Softirq   int64 `json:"softirq_ns"`   // softirqs on the server's cores, whoever was charged with them
	Machine   int64 `json:"machine_ns"`   // everything that wasn't idle, load included, to a hundredth of a second
	Load      int64 `json:"load_ns"`      // workers and bench, exact, and ksoftirqd of the cores that aren't the server's
}

// Minus is the time since another.
func (c CPU) Minus(o CPU) CPU {
	return CPU{
		Process: c.Process - o.Process, User: c.User - o.User, System: c.System - o.System,
		Ksoftirqd: c.Ksoftirqd - o.Ksoftirqd, Softirq: c.Softirq - o.Softirq, Machine: c.Machine - o.Machine,
		Load: c.Load - o.Load,
	}
}

// Server is what counts as the server's: its process and the ksoftirqd of its cores.
func (c CPU) Server() int64 { return c.Process + c.Ksoftirqd }

// Meter reads the times of one process on known cores. Owned by one goroutine.
type Meter struct {
	pid       int
	cores     []int // empty: softirqs and ksoftirqd of all
	ksoftirqd []int // process ids
	load      []int // process ids of all that isn't the server and works for the run
}

// NewMeter looks for what works on the cores of a server, and for the workers of its clients.
func NewMeter(pid int, cores, workers []int) *Meter {
	m := &Meter{pid: pid, cores: cores, ksoftirqd: findKsoftirqd(cores)}
	others := slices.DeleteFunc(findKsoftirqd(nil), func(pid int) bool { return slices.Contains(m.ksoftirqd, pid) })
	m.load = slices.Concat([]int{os.Getpid()}, workers, others)
	return m
}

// Read is the times so far.
func (m *Meter) Read() (CPU, error) {
	var c CPU
	var err error
	if c.Process, err = ProcessTime(m.pid); err != nil {
		return CPU{}, err
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.pid))
	if err != nil {
		return CPU{}, fmt.Errorf("reading CPU times: %w", err)
	}
	if c.User, c.System, err = parseProcessStat(stat); err != nil {
		return CPU{}, err
	}
	if c.Ksoftirqd, err = processTimes(m.ksoftirqd); err != nil {
		return CPU{}, err
	}
	if c.Load, err = processTimes(m.load); err != nil {
		return CPU{}, err
	}
	total, err := os.ReadFile("/proc/stat")
	if err != nil {
		return CPU{}, fmt.Errorf("reading CPU times: %w", err)
	}
	c.Softirq, c.Machine, err = parseStat(total, m.cores)
	return c, err
}

// ProcessTime reads the CPU clock of a process, the sum of all its threads, those that
// have ended included. /proc/PID/stat has the same in hundredths of a second.
func ProcessTime(pid int) (int64, error) {
	const scheduled = 2 // CPUCLOCK_SCHED, include/linux/posix-timers_types.h
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|scheduled, &ts); err != nil {
		return 0, fmt.Errorf("reading the CPU clock of process %d: %w", pid, err)
	}
	return ts.Nano(), nil
}

func processTimes(pids []int) (sum int64, err error) {
	for _, pid := range pids {
		ns, err := ProcessTime(pid)
		if err != nil {
			return 0, err
		}
		sum += ns
	}
	return sum, nil
}

// tickNs is the unit of times in /proc, USER_HZ, which is 100 on all of Go's Linuxes.
const tickNs = int64(time.Second / 100)

// parseProcessStat reads utime and stime, fields 14 and 15 of proc_pid_stat(5).
func parseProcessStat(stat []byte) (user, system int64, err error) {
	// The second field, a name in parentheses, may have spaces and parentheses in it.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return 0, 0, fmt.Errorf("reading CPU times: %q isn't a stat line", stat)
	}
	user, err = strconv.ParseInt(fields[11], 10, 64)
	if err == nil {
		system, err = strconv.ParseInt(fields[12], 10, 64)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("reading CPU times: %w", err)
	}
	return user * tickNs, system * tickNs, nil
}

// parseStat reads /proc/stat: softirq time of some cores, or of all when none are named,
// and the time that all cores weren't idle.
func parseStat(stat []byte, cores []int) (softirq, busy int64, err error) {
	wanted := map[string]bool{}
	for _, core := range cores {
		wanted[fmt.Sprintf("cpu%d", core)] = true
	}
	if len(cores) == 0 {
		wanted["cpu"] = true
	}
	for line := range strings.Lines(string(stat)) {
		fields := strings.Fields(line)
		if len(fields) < 9 || !strings.HasPrefix(fields[0], "cpu") {
			continue
		}
		var ticks [8]int64 // user nice system idle iowait irq softirq steal
		for i := range ticks {
			if ticks[i], err = strconv.ParseInt(fields[i+1], 10, 64); err != nil {
				return 0, 0, fmt.Errorf("reading CPU times of the machine: %w", err)
			}
		}
		if wanted[fields[0]] {
			softirq += ticks[6] * tickNs
		}
		if fields[0] == "cpu" {
			busy = (ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6]) * tickNs
		}
	}
	return softirq, busy, nil
}

// findKsoftirqd returns the kernel threads that do softirqs for some cores, or for all
// when none are named. In a container there are none to be seen.
func findKsoftirqd(cores []int) []int {
	names := map[string]bool{}
	for _, core := range cores {
		names[fmt.Sprintf("ksoftirqd/%d", core)] = true
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		comm, _ := os.ReadFile("/proc/" + e.Name() + "/comm")
		name := strings.TrimSpace(string(comm))
		if names[name] || len(cores) == 0 && strings.HasPrefix(name, "ksoftirqd/") {
			found = append(found, pid)
		}
	}
	return found
}
