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
	if o := defaultOptions(memory.Defaults()); err != nil || patience < o.Drain.Delay+o.Drain.Within+margin {
		t.Errorf("TimeoutStopSec=%s (%v), but -drain-delay and -drain are %v and %v", stop[1], err, o.Drain.Delay, o.Drain.Within)
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

// named are the metrics in an expression, and matched the values of their labels: one, or some that | divides.
var (
	named   = regexp.MustCompile(`\b(?:busbar|process|go)_[a-z_]+`)
	matched = regexp.MustCompile(`\b([a-z_]+)\{[^}]*?\b(cause|outcome|result|class|kind)=~?\\?"([^"\\]+)`)
)

// Alert rules and the dashboard name metrics that the server shows, and values of labels that they can have.
func TestDeployedMetricsExist(t *testing.T) {
	d := commonDaemon(t)
	d.call("GET", "/healthz", "", "") // requests are counted by route once there were some
	shown := d.call("GET", "/metrics", d.admin, "").body
	for file, least := range map[string]int{"prometheus/alerts.yml": 20, "prometheus/alerts_test.yml": 20, "grafana/busbar.json": 30} {
		text := readDeployed(t, file)
		names := named.FindAllString(text, -1)
		if len(names) < least {
			t.Errorf("%s names %d metrics", file, len(names))
		}
		for _, name := range names {
			if family := strings.TrimSuffix(name, "_bucket"); !strings.Contains(shown, "\n# TYPE "+family+" ") {
				t.Errorf("%s: there is no metric %s", file, name)
			}
		}
		for _, m := range matched.FindAllStringSubmatch(text, -1) {
			for value := range strings.SplitSeq(m[3], "|") {
				if m[2] != "class" && !regexp.MustCompile(m[1]+`\{[^}]*`+m[2]+`="`+value+`"`).MatchString(shown) {
					t.Errorf("%s: %s has no %s %s", file, m[1], m[2], value)
				}
			}
		}
	}
}
