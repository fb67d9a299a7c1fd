package runner

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// CoreList is the cores that a process runs on. Empty: wherever the kernel puts it.
type CoreList []int

// DefaultCores gives the first core that this process may use to the server, and the
// others to the load. With a single core nothing is pinned.
func DefaultCores() (server, load CoreList) {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil || set.Count() < 2 {
		return nil, nil
	}
	for i := range len(set) * 64 {
		if set.IsSet(i) {
			load = append(load, i)
		}
	}
	return load[:1], load[1:]
}

// Set reads a list such as "0,2-3", or "none". Each core has to be there for this process.
func (c *CoreList) Set(list string) error {
	*c = nil
	if list == "none" {
		return nil
	}
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		from, err := strconv.Atoi(first)
		to := from
		if err == nil && isRange {
			to, err = strconv.Atoi(last)
		}
		if err != nil || from < 0 || to < from || to > 1023 {
			return fmt.Errorf("%q isn't a core or a range of cores; 0,2-3 would be", part)
		}
		for i := from; i <= to; i++ {
			*c = append(*c, i)
		}
	}
	return checkCores(*c)
}

// String is what Set reads.
func (c *CoreList) String() string {
	if c == nil || len(*c) == 0 {
		return "none"
	}
	return strings.Trim(strings.ReplaceAll(fmt.Sprint([]int(*c)), " ", ","), "[]")
}

// checkCores fails when this process can't run on one of some cores: the kernel is content
// with a list of which one is there.
func checkCores(cores []int) error {
	for _, i := range cores {
		err := onCores([]int{i}, func() error { return nil })
		if errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("core %d isn't there for this process", i)
		}
		if err != nil {
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

// onCores calls f on some cores: a process that it starts inherits the affinity of the thread,
// so that also its first threads are where they belong.
func onCores(cores []int, f func() error) error {
	if len(cores) == 0 {
		return f()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.CPUSet
	err := unix.SchedGetaffinity(0, &before)
	if err == nil {
		err = unix.SchedSetaffinity(0, setOf(cores))
	}
	if err != nil {
		return fmt.Errorf("pinning to cores %v: %w", cores, err)
	}
	return errors.Join(f(), unix.SchedSetaffinity(0, &before))
}

// Pin moves every thread of this process to some cores; new ones inherit that.
func Pin(cores CoreList) error {
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
