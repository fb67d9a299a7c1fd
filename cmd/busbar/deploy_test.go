//go:build !race && !racedaemon

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/internal/memory"
)

const deployed = "../../deploy/"

func readDeployed(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(deployed + file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The unit is one that systemd takes without a remark and counts among the well protected ones (below 2 of 10), and it
// leaves the server the time that its default drain takes.
func TestSystemdUnit(t *testing.T) {
	t.Parallel()
	unit := strings.ReplaceAll(readDeployed(t, "systemd/busbar.service"), "/usr/bin/busbar", filepath.Join(built, "busbar"))
	file := filepath.Join(t.TempDir(), "busbar.service")
	if err := os.WriteFile(file, []byte(unit), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"verify", "--man=no"}, {"security", "--offline=yes", "--threshold=20", "--no-pager"}} {
		out, err := exec.Command("systemd-analyze", append(args, file)...).CombinedOutput()
		if err != nil || args[0] == "verify" && len(out) > 0 {
			t.Errorf("systemd-analyze %s: %v\n%s", args[0], err, out)
		}
	}
	stop := regexp.MustCompile(`(?m)^TimeoutStopSec=(.*)$`).FindStringSubmatch(unit)
	if stop == nil {
		t.Fatal("the unit has no TimeoutStopSec")
	}
	patience, err := time.ParseDuration(stop[1])
	if o := defaultOptions(memory.Defaults()); err != nil || patience < o.Drain+margin {
		t.Errorf("TimeoutStopSec=%s (%v), but -drain is %v", stop[1], err, o.Drain)
	}
}

// The files that packages install are ones that the server and the kernel take.
func TestDeployedSettings(t *testing.T) {
	o := runCommand("", nil, "config", "-config", deployed+"busbar.conf")
	o.want(t, exitOK)
	for name, want := range map[string]string{"data": "/var/lib/busbar", "log-format": "json"} {
		if !regexp.MustCompile(`(?m)^` + name + ` = ` + want + ` `).MatchString(o.out) {
			t.Errorf("%s isn't %s:\n%s", name, want, o.out)
		}
	}
	settings := regexp.MustCompile(`(?m)^([a-z_.0-9]+) = (\d+)$`).FindAllStringSubmatch(readDeployed(t, "sysctl/50-busbar.conf"), -1)
	if len(settings) < 3 {
		t.Fatalf("%d settings", len(settings))
	}
	for _, s := range settings {
		if _, err := os.Stat("/proc/sys/" + strings.ReplaceAll(s[1], ".", "/")); err != nil {
			t.Error(err)
		}
	}
}
