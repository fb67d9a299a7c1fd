//go:build !race && !racedaemon

package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/busbar-ws/busbar/internal/cli"
	"github.com/busbar-ws/busbar/internal/wstest"
)

func TestDoctorWithoutANumber(t *testing.T) {
	o := runCommand("", nil, "doctor", "-data", t.TempDir(), "-listen", wstest.FreeAddress(t), "-api", wstest.FreeAddress(t))
	o.want(t, exitOK)
	if !strings.Contains(o.out, "\n0 warnings, 0 failures.\n") || strings.Contains(o.out, "-connections") {
		t.Errorf("the report of this host:\n%s", o.out)
	}
}

func TestDoctorOfAServingHost(t *testing.T) {
	srv := sharedServer(t)
	listen := strings.TrimPrefix(srv.url, "ws://")
	args := []string{"doctor", "-connections", "10", "-listen", listen, "-api", srv.api}
	o := runCommand("", nil, append(args, "-data", srv.data)...)
	o.want(t, exitOK)
	for _, want := range []string{"A busbar serves from it", "by the busbar that serves", "0 failures", "enough for 10 "} {
		if !strings.Contains(o.out, want) {
			t.Errorf("the report lacks %q:\n%s", want, o.out)
		}
	}
	// To another server the same ports are taken.
	o = runCommand("", nil, append(args, "-data", t.TempDir())...)
	o.want(t, exitFailure, "2 FAILs")
	if !strings.Contains(o.out, "ss -ltnp 'sport = :") {
		t.Errorf("the report doesn't say who has the port:\n%s", o.out)
	}
}

func TestDoctorAndServerSayTheSameCapacity(t *testing.T) {
	t.Parallel()
	for _, l := range []launch{
		{}, {args: []string{"-loops", "3"}}, {args: []string{"-max-connections", "77"}}, {descriptors: 200},
		{env: []string{"BUSBAR_ROWS_URL=http://127.0.0.1:1/rows"}, descriptors: 4000},
	} {
		d := l.start(t)
		said := regexp.MustCompile(`Connections +up to (\d+): (limited by .*)\n`).FindStringSubmatch(d.out.String())
		l.args = append([]string{"doctor", "-data", d.dir, "-listen", d.ws, "-api", d.api}, l.args...)
		report, _, code := l.run(t)
		if code != exitOK || said == nil || !strings.Contains(strings.Join(strings.Fields(report), " "), "A server here takes up to "+said[1]+" connections: "+said[2]+".") {
			t.Errorf("%v: the server says %q, doctor (%d):\n%s", l.args, said, code, report)
		}
		d.stop()
	}
}

func TestDoctorRefuses(t *testing.T) {
	runCommand("", nil, "doctor", "-connections", "many").want(t, exitUsage, "-connections")
	runCommand("", nil, "doctor", "-fix-print").want(t, exitUsage, "-connections N")
	runCommand("", nil, "doctor", "-fix-print", "-connections", "9", "-json").want(t, exitUsage, "without -json")
}

// doctorReport is what docs/protocol.md section 7 says of -json.
type doctorReport struct {
	Asked, Connections int
	RunsOutFirst       string `json:"runs_out_first"`
	Limits             []struct {
		Name        string
		Connections int
	}
	Bytes struct {
		User, Kernel int
		UnderWay     int `json:"under_way"`
	} `json:"bytes_per_connection"`
	Warnings, Failures int
	Findings           []struct {
		Verdict, Name, Value, Meaning string
		Fix                           []string
	}
}

// What root may set for one process, its network and its control groups, doctor sees, and advises what lifts it.
func TestDoctorSeesLimitsThatAreSet(t *testing.T) {
	t.Parallel()
	inside := slices.Concat(
		[]string{"unshare", "--net", "sh", "-c", `ip link set lo up &&
			sysctl -qw net.core.somaxconn=77 net.ipv4.tcp_max_syn_backlog=88 net.ipv4.tcp_rmem="8192 9000 9000" net.ipv4.tcp_wmem="5000 6000 7000" &&
			exec "$@"`, "sh"},
		controlGroup(t, groupFile{"memory", "memory.limit_in_bytes", "memory.max", fmt.Sprint(200 * cli.MiB)},
			groupFile{"cpu", "cpu.cfs_quota_us", "cpu.max", "100000"}))
	doctor := func(args ...string) (stdout string) {
		args = append([]string{"doctor", "-data", t.TempDir(), "-connections", "4000"}, args...)
		stdout, stderr, code := launch{inside: inside, descriptors: 3000, args: args}.run(t)
		if code != exitOK {
			t.Fatalf("%d %s\n%s", code, stderr, stdout)
		}
		return stdout
	}
	text := doctor("-json")
	var r doctorReport
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if r.Asked != 4000 || r.Connections >= 3000 || r.RunsOutFirst != "RLIMIT_NOFILE" || r.Bytes.UnderWay != 8192+5000 ||
		r.Limits[0].Connections != r.Connections {
		t.Errorf("%+v", r)
	}
	values := make(map[string]string)
	for _, f := range r.Findings {
		values[f.Name] = f.Verdict + " " + f.Value
	}
	for name, want := range map[string]string{
		"RLIMIT_NOFILE": "WARN 3000", "net.core.somaxconn": "WARN 77", "net.ipv4.tcp_max_syn_backlog": "WARN 88",
		"net.ipv4.tcp_rmem": "OK 8192 9000 9000", "net.ipv4.tcp_wmem": "OK 5000 6000 7000",
	} {
		if values[name] != want {
			t.Errorf("%s: %s, want %s", name, values[name], want)
		}
	}
	cores := "WARN " + cli.Plural(runtime.NumCPU(), "core", "cores") + ", cgroup quota 1.00"
	if values["CPU"] != cores || !strings.HasSuffix(values["memory"], "cgroup limit 200 MiB") {
		t.Errorf("CPU %s, want %s; memory %s", values["CPU"], cores, values["memory"])
	}
	fix := doctor("-fix-print")
	for _, want := range []string{"\nnet.core.somaxconn = 1024\n", "\nnet.ipv4.tcp_max_syn_backlog = 1024\n", "\n[Service]\nLimitNOFILE=4"} {
		if !strings.Contains(fix, want) {
			t.Errorf("the advice lacks %q:\n%s", want, fix)
		}
	}
}

func TestDoctorOfAHostBehindProxies(t *testing.T) {
	args := []string{"doctor", "-connections", "10", "-data", t.TempDir(), "-listen", wstest.FreeAddress(t), "-api", wstest.FreeAddress(t)}
	for trusted, want := range map[string]string{"10.0.0.0/8": "OK    -trusted-proxies 10.0.0.0/8\n", "0.0.0.0/0": "WARN  -trusted-proxies 0.0.0.0/0\n"} {
		o := runCommand("", nil, append(args, "-trusted-proxies", trusted)...)
		o.want(t, exitOK)
		if !strings.Contains(o.out, want) {
			t.Errorf("the report lacks %q:\n%s", want, o.out)
		}
	}
	o := runCommand("", nil, args...)
	o.want(t, exitOK)
	if strings.Contains(o.out, "proxies") && strings.Contains(o.out, "-trusted") {
		t.Errorf("the report speaks of proxies that there aren't:\n%s", o.out)
	}
}
