package runner

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// CPU is time on the processor, in nanoseconds.
type CPU struct {
	Process      int64 // all threads of the server, exact
	User, System int64 // of that in user space and in the kernel, to a hundredth of a second
	Ksoftirqd    int64 // ksoftirqd of the server's cores; 0 when it can't be seen
	Machine      int64 // everything that wasn't idle, load included, to a hundredth of a second
	Load         int64 // this process, exact, and ksoftirqd of the cores that aren't the server's
}

// Minus is the time since another.
func (c CPU) Minus(o CPU) CPU {
	return CPU{c.Process - o.Process, c.User - o.User, c.System - o.System, c.Ksoftirqd - o.Ksoftirqd, c.Machine - o.Machine, c.Load - o.Load}
}

// Server is what counts as the server's: its process and the ksoftirqd of its cores.
func (c CPU) Server() int64 { return c.Process + c.Ksoftirqd }

// Meter reads the times of one process on known cores. Owned by one goroutine.
type Meter struct {
	pid       int
	ksoftirqd []int // process ids
	load      []int // process ids of all that isn't the server and works for the run
}

// NewMeter looks for what works on the cores of a server; this process is its load.
func NewMeter(pid int, cores []int) *Meter {
	m := &Meter{pid: pid, ksoftirqd: findKsoftirqd(cores)}
	others := slices.DeleteFunc(findKsoftirqd(nil), func(pid int) bool { return slices.Contains(m.ksoftirqd, pid) })
	m.load = append(others, os.Getpid())
	return m
}

// Read is the times so far.
func (m *Meter) Read() (c CPU, err error) {
	const tick = int64(time.Second / 100) // USER_HZ, which is 100 on all of Go's Linuxes
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return c, fmt.Errorf("reading CPU times: %w", err)
	}
	p, err := fs.Proc(m.pid)
	if err != nil {
		return c, fmt.Errorf("reading CPU times: %w", err)
	}
	var errs [3]error
	c.Process, errs[0] = ProcessTime(m.pid)
	c.Ksoftirqd, errs[1] = sum(m.ksoftirqd)
	c.Load, errs[2] = sum(m.load)
	server, errServer := p.Stat()
	machine, errMachine := fs.Stat()
	c.User, c.System = int64(server.UTime)*tick, int64(server.STime)*tick
	t := machine.CPUTotal
	c.Machine = int64((t.User + t.Nice + t.System + t.IRQ + t.SoftIRQ) * 1e9)
	return c, errors.Join(append(errs[:], errServer, errMachine)...)
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

// sum adds up the times of some processes.
func sum(pids []int) (total int64, err error) {
	for _, pid := range pids {
		ns, e := ProcessTime(pid)
		total, err = total+ns, errors.Join(err, e)
	}
	return total, err
}

// findKsoftirqd returns the kernel threads that do softirqs for some cores, or for all
// when none are named. In a container there are none to be seen.
func findKsoftirqd(cores []int) (found []int) {
	all, _ := procfs.AllProcs()
	for _, p := range all {
		comm, _ := p.Comm()
		number, ok := strings.CutPrefix(comm, "ksoftirqd/")
		if ok && (len(cores) == 0 || slices.ContainsFunc(cores, func(core int) bool { return fmt.Sprint(core) == number })) {
			found = append(found, p.PID)
		}
	}
	return found
}

// Memory is what a server and the kernel hold at one moment, in bytes.
type Memory struct {
	Resident      int64 // of the server's process, private and shared
	Slab          int64 // the kernel's objects, of the whole machine: both ends of every connection, and whatever else happened
	SocketBuffers int64 // what TCP sockets of the machine hold in their queues
}

// Minus is the growth since another.
func (m Memory) Minus(o Memory) Memory {
	return Memory{m.Resident - o.Resident, m.Slab - o.Slab, m.SocketBuffers - o.SocketBuffers}
}

// ReadMemory looks at a process and at the kernel.
func ReadMemory(pid int) (m Memory, err error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return Memory{}, fmt.Errorf("reading memory: %w", err)
	}
	p, err := fs.Proc(pid)
	if err != nil {
		return Memory{}, fmt.Errorf("reading memory: %w", err)
	}
	if r, err := p.ProcSMapsRollup(); err == nil {
		m.Resident = int64(r.PrivateClean + r.PrivateDirty + r.SharedClean + r.SharedDirty)
	} else { // less exact, and always there
		status, err := p.NewStatus()
		if err != nil {
			return Memory{}, fmt.Errorf("reading memory: %w", err)
		}
		m.Resident = int64(status.VmRSS)
	}
	info, errInfo := fs.Meminfo()
	if info.SlabBytes != nil {
		m.Slab = int64(*info.SlabBytes)
	}
	sockets, errSockets := fs.NetSockstat()
	if errSockets == nil {
		for _, protocol := range sockets.Protocols {
			if protocol.Protocol == "TCP" && protocol.Mem != nil {
				m.SocketBuffers = int64(*protocol.Mem) * int64(os.Getpagesize())
			}
		}
	}
	return m, errors.Join(errInfo, errSockets)
}

// ResetPeak has the kernel forget the highest resident memory of a process so far. Where it
// may not, the peak is that since the process began.
func ResetPeak(pid int) {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0) // proc_pid_clear_refs(5)
}

// PeakMemory is the highest resident memory of a process in bytes, since ResetPeak.
func PeakMemory(pid int) (int64, error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return 0, fmt.Errorf("reading memory: %w", err)
	}
	status, err := p.NewStatus()
	return int64(status.VmHWM), err
}
