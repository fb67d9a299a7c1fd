package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/busbar-ws/busbar/internal/leaks"
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
	if err := build(); err != nil {
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

// build makes the daemon, with the race detector when the tests run with it.
func build() error {
	args := []string{"build", "-o", filepath.Join(built, "busbar")}
	if raceEnabled {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "../../cmd/busbar")...).CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}
