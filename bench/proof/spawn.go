package proof

import (
	"os/exec"
	"runtime"
)

// spawn starts a process, and waits for it on the thread that has started it: Pdeathsig, which
// ends what a killed bench leaves behind, goes off when that thread ends (prctl(2)), and threads
// end here that have been in other namespaces. ended is closed when the process has ended; then
// cmd.ProcessState says how.
func spawn(cmd *exec.Cmd) (ended chan struct{}, err error) {
	started := make(chan error)
	ended = make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(ended)
	}()
	return ended, <-started
}
