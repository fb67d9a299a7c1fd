package conformance

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/busbar-ws/busbar/internal/leaks"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// TestMain builds the daemon once, and fails when the tests leave a goroutine behind.
func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "busbar-conformance-")
	if err != nil {
		return failed("making a directory", err)
	}
	defer os.RemoveAll(dir)
	built = dir
	if _, err := wstest.BuildDaemon(built); err != nil {
		return failed("building busbar", err)
	}
	before := goleak.IgnoreCurrent()
	code := m.Run()
	if err := leaks.Goroutines(before); err != nil {
		return failed("looking for goroutines left behind", err)
	}
	return code
}

func failed(doing string, err error) int {
	fmt.Fprintf(os.Stderr, "%s: %v\n", doing, err)
	return 1
}
