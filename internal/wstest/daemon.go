package wstest

import (
	"fmt"
	"os/exec"
	"path/filepath"
)

// BuildDaemon builds busbar in a folder, with the race detector when the test runs with it.
func BuildDaemon(folder string) (program string, err error) {
	program = filepath.Join(folder, "busbar")
	args := []string{"build", "-o", program, "github.com/busbar-ws/busbar/cmd/busbar"}
	if RaceEnabled {
		args = append([]string{"build", "-race"}, args[1:]...)
	}
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("building busbar: %w\n%s", err, out)
	}
	return program, nil
}
