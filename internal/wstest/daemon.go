package wstest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// daemonVariable names a busbar that scripts/race has built for all packages.
const daemonVariable = "BUSBAR_TEST_DAEMON"

// RaceOptions is for the environment of a daemon with the race detector, and of the tests (scripts/race):
// it would sleep for a second at each end, and take what it notes of memory from the kernel page by page.
const RaceOptions = "GORACE=atexit_sleep_ms=0 no_huge_pages_for_shadow=0"

// BuildDaemon puts busbar into a folder, built with the race detector when the test runs with it.
func BuildDaemon(folder string) (program string, err error) {
	program = filepath.Join(folder, "busbar")
	if built := os.Getenv(daemonVariable); built != "" {
		return program, os.Symlink(built, program)
	}
	args := []string{"build", "-o", program, "github.com/busbar-ws/busbar/cmd/busbar"}
	if RaceEnabled {
		args = append([]string{"build", "-race"}, args[1:]...)
	}
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("building busbar: %w\n%s", err, out)
	}
	return program, nil
}

// Unprivileged calls f on a thread that owns nothing and may override no permission
// bits, also when the tests are run by root (setfsuid(2)).
func Unprivileged(t *testing.T, f func() error) error {
	t.Helper()
	if os.Geteuid() != 0 {
		return f()
	}
	const nobody = 65534
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		syscall.RawSyscall(syscall.SYS_SETFSUID, nobody, 0, 0)
		result <- f()
	}()
	return <-result
}
