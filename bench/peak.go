package bench

import (
	"fmt"
	"os"
)

// resetPeak has the kernel forget the highest resident memory of a process so far. Where it
// may not, the peak is that since the process began.
func resetPeak(pid int) {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0) // proc_pid_clear_refs(5)
}

// peakMemory is the highest resident memory of a process in bytes, since resetPeak.
func peakMemory(pid int) (int64, error) {
	status, err := readKilobytes(fmt.Sprintf("/proc/%d/status", pid))
	return status["VmHWM"], err
}
