package bench

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Cores says where processes run. Empty: wherever the kernel puts them.
type Cores struct {
	Server []int `json:"server"` // the server
	Load   []int `json:"load"`   // workers and whoever publishes
}

// DefaultCores gives the first core that this process may use to the server, and the
// others to the load. With a single core nothing is pinned.
func DefaultCores() Cores {
	allowed, err := allowedCores()
	if err != nil || len(allowed) < 2 {
		return Cores{}
	}
	return Cores{Server: allowed[:1], Load: allowed[1:]}
}

// FirstCores is n of the cores that this process may use, or none when it has fewer.
func FirstCores(n int) []int {
	allowed, err := allowedCores()
	if err != nil || len(allowed) < n {
		return nil
	}
	return allowed[:n]
}

func allowedCores() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("reading the CPU affinity: %w", err)
	}
	var cores []int
	for i := range len(set) * 64 {
		if set.IsSet(i) {
			cores = append(cores, i)
		}
	}
	return cores, nil
}

// ParseCores reads a list such as "0,2-3". The empty list is none.
func ParseCores(list string) ([]int, error) {
	var cores []int
	for part := range strings.SplitSeq(list, ",") {
		if part == "" {
			continue
		}
		first, last, isRange := strings.Cut(part, "-")
		from, err := strconv.Atoi(first)
		to := from
		if err == nil && isRange {
			to, err = strconv.Atoi(last)
		}
		if err != nil || from < 0 || to < from || to > 1023 {
			return nil, fmt.Errorf("%q isn't a core or a range of cores; 0,2-3 would be", part)
		}
		for i := from; i <= to; i++ {
			cores = append(cores, i)
		}
	}
	return cores, nil
}

// CheckCores fails when this process can't run on one of some cores: the kernel is content
// with a list of which one is there.
func CheckCores(cores []int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("reading the CPU affinity: %w", err)
	}
	for _, i := range cores {
		err := unix.SchedSetaffinity(0, setOf([]int{i}))
		if errors.Is(err, unix.EINVAL) {
			err = fmt.Errorf("core %d isn't there for this process", i)
		}
		if err = errors.Join(err, unix.SchedSetaffinity(0, &before)); err != nil {
			return err
		}
	}
	return nil
}

func setOf(cores []int) *unix.CPUSet {
	var set unix.CPUSet
	for _, i := range cores {
		set.Set(i)
	}
	return &set
}

// startOn starts a process on some cores. A process inherits the affinity of the thread
// that starts it, so that also its first threads are where they belong.
func startOn(cores []int, cmd *exec.Cmd) error {
	if len(cores) == 0 {
		return cmd.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("reading the CPU affinity: %w", err)
	}
	if err := unix.SchedSetaffinity(0, setOf(cores)); err != nil {
		return fmt.Errorf("pinning to cores %v: %w", cores, err)
	}
	return errors.Join(cmd.Start(), unix.SchedSetaffinity(0, &before))
}

// pinSelf moves every thread of this process to some cores; new ones inherit that.
func pinSelf(cores []int) error {
	if len(cores) == 0 {
		return nil
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("listing threads: %w", err)
	}
	for _, t := range threads {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		if err := unix.SchedSetaffinity(id, setOf(cores)); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("pinning to cores %v: %w", cores, err)
		}
	}
	return nil
}

// ownGroup keeps a process out of the terminal's group: Ctrl-C is for the bench, which asks
// its processes for what there is.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// Pin moves this process, which publishes, to the cores of the load.
func (c Cores) Pin() error { return pinSelf(c.Load) }
