package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/busbar-ws/busbar/internal/leaks"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// built is the directory with the daemon as users run it. Any user may enter it.
var built string

// afterTests end what several tests share.
var afterTests []func()

// TestMain builds the daemon once, and fails when the tests leave a goroutine or a process behind.
func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	if os.Getenv(silentCrowd) != "" {
		if err := beSilent(os.Stdout); err != nil {
			return failed("connecting", err)
		}
		return 0
	}
	if os.Getenv(withoutIPv6) != "" {
		return failed("running without IPv6", execWithoutIPv6(os.Args[1:]))
	}
	// Whatever a child leaves behind becomes this process's child, and can be found.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return failed("becoming a subreaper", err)
	}
	dir, err := os.MkdirTemp("", "busbar-e2e-")
	if err != nil {
		return failed("making a directory", err)
	}
	defer os.RemoveAll(dir)
	built = dir
	if err := os.Chmod(built, 0o755); err != nil {
		return failed("letting others in", err)
	}
	flag.Parse()
	if flag.Lookup("test.fuzz").Value.String() == "" { // no fuzz target needs it
		if _, err := wstest.BuildDaemon(built); err != nil {
			return failed("building the daemon", err)
		}
	}
	before, open := goleak.IgnoreCurrent(), leaks.Descriptors()
	_ = flag.Set("test.parallel", "4") // most tests wait; -parallel overrides it
	code := m.Run()
	for _, end := range afterTests {
		end()
	}
	if err := stopShared(); err != nil {
		return failed("closing the shared server", err)
	}
	if err := waitChildless(30 * time.Second); err != nil {
		return failed("looking for processes left behind", err)
	}
	if err := leaks.Goroutines(before, leaks.IdleWorkers); err != nil {
		return failed("looking for goroutines left behind", err)
	}
	if left := open.Left(20 * time.Second); len(left) > 0 {
		return failed("looking for descriptors left behind", errors.New(strings.Join(left, ", ")))
	}
	return code
}

func failed(doing string, err error) int {
	fmt.Fprintf(os.Stderr, "%s: %v\n", doing, err)
	return 1
}

// waitChildless waits until no process is left of those that the tests started. Ended ones that
// nobody waited for are collected: their parent ended first.
func waitChildless(within time.Duration) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(within); ; {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if err == syscall.ECHILD {
			return nil
		}
		if pid > 0 || err == syscall.EINTR {
			continue
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("still running: %s", children())
		}
		<-tick.C
	}
}

// children names this process's children by their command lines.
func children() string {
	lists, _ := filepath.Glob("/proc/self/task/*/children")
	var names []string
	for _, list := range lists {
		pids, _ := os.ReadFile(list)
		for _, pid := range strings.Fields(string(pids)) {
			line, _ := os.ReadFile("/proc/" + pid + "/cmdline")
			names = append(names, pid+" "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return strings.Join(names, "; ")
}
