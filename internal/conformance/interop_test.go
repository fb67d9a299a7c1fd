package conformance

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// A client that we didn't write, and that is strict about what a server sends.
// scripts/install-test-tools installs it; only Debian's own interpreter finds it.
func TestPythonClient(t *testing.T) {
	t.Parallel()
	d := startDaemon(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*wstest.Patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "/usr/bin/python3", filepath.Join("testdata", "interop.py"), "ws://"+d.addr).CombinedOutput()
	const want = "2044 exchanges\n"
	if err != nil || string(out) != want {
		t.Errorf("%v, %q; want %q", err, out, want)
	}
}
