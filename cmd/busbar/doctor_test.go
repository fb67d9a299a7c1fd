package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/busbar-ws/busbar/internal/memory"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// aHost is a small virtual machine as a distribution sets it up.
func aHost() fstest.MapFS {
	files := fstest.MapFS{}
	for name, text := range map[string]string{
		"proc/sys/fs/nr_open": "1048576\n", "proc/sys/fs/file-max": "9223372036854775807\n",
		"proc/sys/net/core/somaxconn": "4096\n", "proc/sys/net/ipv4/tcp_max_syn_backlog": "512\n",
		"proc/sys/net/ipv4/ip_local_port_range": "32768\t60999\n",
		"proc/sys/net/ipv4/tcp_mem":             "45000\t60000\t90000\n",
		"proc/sys/net/ipv4/tcp_rmem":            "4096\t131072\t6291456\n",
		"proc/sys/net/ipv4/tcp_wmem":            "4096\t16384\t4194304\n",
		"proc/sys/kernel/osrelease":             "6.12.9-amd64\n",
		"proc/meminfo":                          "MemTotal:        4028440 kB\nMemFree: 1 kB\nMemAvailable:    3145728 kB\n",
		"proc/self/limits": "Limit                     Soft Limit           Hard Limit           Units     \n" +
			"Max processes             15000                15000                processes \n" +
			"Max open files            1024                 524288               files     \n",
		"proc/self/cgroup":                                     "0::/system.slice/busbar.service\n",
		"sys/fs/cgroup/system.slice/memory.max":                "2147483648\n",
		"sys/fs/cgroup/system.slice/busbar.service/memory.max": "max\n",
	} {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return files
}

func TestReadHost(t *testing.T) {
	h := readHost(aHost())
	for what, values := range map[string][2]any{
		"limits":    {[2]int64{h.softFiles, h.hardFiles}, [2]int64{1024, 524288}},
		"nr_open":   {h.nrOpen, int64(1048576)},
		"file-max":  {h.fileMax, int64(1<<63 - 1)},
		"somaxconn": {h.somaxconn, int64(4096)},
		"backlog":   {h.synBacklog, int64(512)},
		"ports":     {h.ports, [2]int64{32768, 60999}},
		"tcp_mem":   {h.tcpMem, [3]int64{45000, 60000, 90000}},
		"tcp_rmem":  {h.tcpRmem, [3]int64{4096, 131072, 6291456}},
		"tcp_wmem":  {h.tcpWmem, [3]int64{4096, 16384, 4194304}},
		"conntrack": {h.conntrack, int64(-1)},
		"memory":    {h.memory, memory.Host{Total: 4028440 << 10, Available: 3 << 30, Group: 2 << 30}},
		"usable":    {h.usable(), int64(2 << 30)},
		"kernel":    {h.kernel, "6.12.9-amd64"},
	} {
		if values[0] != values[1] {
			t.Errorf("%s: %v, want %v", what, values[0], values[1])
		}
	}
}

// configFor is what a server without flags makes of a host's memory.
func configFor(t *testing.T, h host) *Config {
	t.Helper()
	cfg := parsed(t, nil, nil)
	cfg.Hub.Loops.Memory.BufferBytes = 0
	cfg.fitMemory(memory.Share(h.memory.Limit()))
	return &cfg
}

// verdicts are the findings' by the first word of what they are about.
func verdicts(findings []finding) map[string]verdict {
	m := make(map[string]verdict)
	for _, f := range findings {
		m[strings.TrimSuffix(strings.Fields(f.what)[0], ":")] = f.verdict
	}
	return m
}

func TestExamineJudgesByTheConnections(t *testing.T) {
	h := readHost(aHost())
	h.cores = 2
	for _, c := range []struct {
		connections int64
		warnings    string // in the order of the findings
	}{
		{1000, "net.ipv4.tcp_max_syn_backlog"},
		{100_000, "memory net.ipv4.tcp_mem net.core.somaxconn net.ipv4.tcp_max_syn_backlog net.ipv4.ip_local_port_range"},
		{10_000_000, "RLIMIT_NOFILE fs.nr_open memory net.ipv4.tcp_mem net.ipv4.tcp_wmem net.core.somaxconn " +
			"net.ipv4.tcp_max_syn_backlog net.ipv4.ip_local_port_range"},
	} {
		var warnings []string
		for _, f := range examine(h, configFor(t, h), c.connections) {
			if f.verdict != fine {
				warnings = append(warnings, strings.TrimSuffix(strings.Fields(f.what)[0], ":"))
				if len(f.fix) == 0 {
					t.Errorf("%s: no command that would change it", f.what)
				}
			}
		}
		if got := strings.Join(warnings, " "); got != c.warnings {
			t.Errorf("%d connections:\n got %s\nwant %s", c.connections, got, c.warnings)
		}
	}
}

// The commands that doctor prints are the ones after which it is content.
func TestExamineIsContentAfterItsOwnAdvice(t *testing.T) {
	files := aHost()
	h := readHost(files)
	h.cores = 2
	for _, f := range examine(h, configFor(t, h), 150_000) {
		for _, command := range f.fix {
			setting, ok := strings.CutPrefix(command, "sysctl -w ")
			if !ok {
				continue
			}
			name, value, _ := strings.Cut(setting, "=")
			path := "proc/sys/" + strings.ReplaceAll(name, ".", "/")
			files[path] = &fstest.MapFile{Data: []byte(strings.Trim(value, `"`) + "\n")}
		}
	}
	h = readHost(files)
	h.cores = 2
	for _, f := range examine(h, configFor(t, h), 150_000) {
		for _, command := range f.fix {
			if isSysctl(command) {
				t.Errorf("still advises %s", command)
			}
		}
	}
}

// A container may hide all of it. That is said, and isn't taken for a host without limits.
func TestExamineAHostThatShowsNothing(t *testing.T) {
	h := readHost(fstest.MapFS{})
	for what, v := range verdicts(examine(h, configFor(t, h), 1000)) {
		if v != warn && what != "cgroup" && what != strconv.Itoa(int(h.cores)) {
			t.Errorf("%s is %s though it can't be known", what, v)
		}
	}
	if s := estimate(h, configFor(t, h)).sentence(1000); !strings.Contains(s, "can't be told") {
		t.Errorf("an estimate from nothing: %s", s)
	}
}

func TestExamineKernel(t *testing.T) {
	for release, want := range map[string]verdict{
		"6.12.9-amd64": fine, "5.10.0": fine, "4.19.0-rc1": warn, "3.2.0": fail, "3.12+": warn, "nonsense": warn,
	} {
		if f := (host{kernel: release}).examineKernel(); f.verdict != want {
			t.Errorf("%s: %s, want %s", release, f.verdict, want)
		}
	}
}

func TestEstimate(t *testing.T) {
	h := host{cores: 2, hardFiles: 524_288, tcpRmem: [3]int64{4096, 0, 0}, tcpWmem: [3]int64{4096, 0, 0},
		memory: memory.Host{Total: 4 * gib, Available: 4 * gib, Group: -1}}
	cfg := configFor(t, h)
	e := estimate(h, cfg)
	if want := int64(3*gib-gib-(256+64)*mib) / (13 * kib); e.memory != want {
		t.Errorf("memory allows %d connections, want %d", e.memory, want)
	}
	fetching := *cfg
	fetching.RowsURL = "http://127.0.0.1/rows"
	kept := int64(cfg.Hub.Loops.Memory.BufferBytes) + int64(memory.Defaults().Rows) + int64(cfg.Log.Tail)
	if n := fetching.kept(); n != kept {
		t.Errorf("with -rows-url %d bytes are kept, want %d", n, kept)
	}
	if f := h.examineMemory(&fetching, 1); strings.Contains(f.meaning, "-rows-bytes") {
		t.Errorf("-rows-bytes has no effect with -rows-url: %s", f.meaning)
	}
	for asked, want := range map[int64]string{0: fmt.Sprintf("memory for about %d. ", e.memory), 100_000: "That is enough for 100000 (-connections).",
		200_000: "That is less than 200000 (-connections)."} {
		if s := e.sentence(asked); !strings.HasSuffix(s, want) {
			t.Errorf("%d: %s", asked, s)
		}
	}
	h.memory.Group = 64 * mib
	if n := estimate(h, configFor(t, h)).memory; n <= 0 || n > 64*mib/3/(13*kib) {
		t.Errorf("%d connections in a third of 64 MiB", n)
	}
	h.memory.Group = 16 * mib
	if n := estimate(h, cfg).memory; n != 0 {
		t.Errorf("%d connections in less memory than the buffers take", n)
	}
}

// Whoever names no number is told what fits, and is not warned of what a larger number would take.
func TestDoctorWithoutANumber(t *testing.T) {
	h := readHost(aHost())
	h.cores = 2
	cfg := configFor(t, h)
	findings := examine(h, cfg, estimate(h, cfg).connections())
	if verdicts(findings)["net.ipv4.tcp_max_syn_backlog"] != warn {
		t.Fatal("nothing to take back")
	}
	withoutNumber(findings)
	for _, f := range findings {
		if f.verdict != fine || len(f.fix) > 0 {
			t.Errorf("%s %s: %s", f.verdict, f.what, f.meaning)
		}
	}
	o := runCommand("", nil, "doctor", "-data", t.TempDir(), "-listen", wstest.FreeAddress(t), "-api", wstest.FreeAddress(t))
	o.want(t, exitOK)
	if !strings.Contains(o.out, "\n0 warnings, 0 failures.\n") || strings.Contains(o.out, "-connections") {
		t.Errorf("the report of this host:\n%s", o.out)
	}
}

func TestExamineDataDir(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]struct {
		verdict verdict
		meaning string
	}{
		dir: {fine, "can be written to"}, filepath.Join(dir, "new", "deep"): {fine, "can be made in " + dir},
		file: {fail, "not a directory"}, filepath.Join(file, "in"): {fail, "not a directory"}, "": {fail, "invalid"},
	} {
		f := examineDataDir(path, nil)
		if f.verdict != want.verdict || !strings.Contains(f.meaning, want.meaning) {
			t.Errorf("%q: %s %s, want %s and %q", path, f.verdict, f.meaning, want.verdict, want.meaning)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
		t.Error("looking at a directory made it")
	}
}

// unprivileged: no permission bits stop root.
func TestExamineDataDirWithoutPermission(t *testing.T) {
	dir, err := os.MkdirTemp("", "busbar-doctor-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "new")} {
		err := unprivileged(t, func() error {
			if f := examineDataDir(path, nil); f.verdict != fail {
				return fmt.Errorf("%s: %s %s", path, f.verdict, f.meaning)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestExaminePort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for address, want := range map[string]verdict{l.Addr().String(): fail, wstest.FreeAddress(t): fine, "192.0.2.1:4322": fail} {
		if f := examinePort("-listen", address, t.TempDir(), nil); f.verdict != want {
			t.Errorf("%s: %s %s, want %s", address, f.verdict, f.meaning, want)
		}
	}
}

func TestDoctorOfAServingHost(t *testing.T) {
	srv := startInProcess(t, t.TempDir())
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

// Doctor says what a server with the same flags says at its start.
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

func TestNeededFiles(t *testing.T) {
	h := host{cores: 2}
	cfg := parsed(t, []string{"-max-connections", "5"}, nil)
	for _, n := range []int64{1, 100, 4000, 10_000, 100_000, 1_000_000} {
		need := h.neededFiles(&cfg, n)
		cfg.Hub.Loops.Accept.MaxConnections = 0
		with, err := cfg.capacity(h.cores, need)
		less, _ := cfg.capacity(h.cores, need-1)
		if err != nil || int64(with.Connections) < n || int64(less.Connections) >= n {
			t.Errorf("%d connections are to need %d descriptors, which hold %d; one less holds %d", n, need, with.Connections, less.Connections)
		}
	}
}

func TestDoctorRefusesANumberThatIsNone(t *testing.T) {
	runCommand("", nil, "doctor", "-connections", "many").want(t, exitUsage, "-connections")
}
