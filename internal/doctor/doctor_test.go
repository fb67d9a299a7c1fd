package doctor

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/cli"
	"github.com/busbar-ws/busbar/internal/memory"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// aHost is a small virtual machine as a distribution sets it up.
func aHost() fstest.MapFS {
	files := fstest.MapFS{}
	for name, text := range map[string]string{
		"proc/sys/fs/nr_open": "1048576\n", "proc/sys/fs/file-max": "9223372036854775807\n",
		"proc/sys/net/core/somaxconn": "4096\n", "proc/sys/net/ipv4/tcp_max_syn_backlog": "512\n",
		"proc/sys/net/ipv4/tcp_mem":                            "45000\t60000\t90000\n",
		"proc/sys/net/ipv4/tcp_rmem":                           "4096\t131072\t6291456\n",
		"proc/sys/net/ipv4/tcp_wmem":                           "4096\t16384\t4194304\n",
		"proc/meminfo":                                         "MemTotal:        4028440 kB\nMemFree: 1 kB\nMemAvailable:    3145728 kB\n",
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
		"nr_open":   {h.sysctl("fs.nr_open", 0), int64(1048576)},
		"file-max":  {h.sysctl("fs.file-max", 0), int64(1<<63 - 1)},
		"somaxconn": {h.sysctl("net.core.somaxconn", 0), int64(4096)},
		"backlog":   {h.sysctl("net.ipv4.tcp_max_syn_backlog", 0), int64(512)},
		"tcp_mem":   {fmt.Sprint(h.sysctls["net.ipv4.tcp_mem"]), fmt.Sprint([]int64{45000, 60000, 90000})},
		"tcp_rmem":  {fmt.Sprint(h.sysctls[tcpRmem]), fmt.Sprint([]int64{4096, 131072, 6291456})},
		"tcp_wmem":  {fmt.Sprint(h.sysctls[tcpWmem]), fmt.Sprint([]int64{4096, 16384, 4194304})},
		"conntrack": {h.sysctl("net.netfilter.nf_conntrack_max", 0), int64(-1)},
		"memory":    {h.memory, memory.Host{Total: 4028440 << 10, Available: 3 << 30, Group: 2 << 30}},
		"usable":    {h.usable(), int64(2 << 30)},
	} {
		if values[0] != values[1] {
			t.Errorf("%s: %v, want %v", what, values[0], values[1])
		}
	}
}

func TestLockHeld(t *testing.T) {
	const locks = "1: POSIX  ADVISORY  WRITE 70 fd:01:11 0 EOF\n2: FLOCK  ADVISORY  WRITE 708 00:17:13298 0 EOF\n2: -> FLOCK  ADVISORY  WRITE 9 00:17:77 0 EOF\nshort\n"
	for inode, want := range map[uint64]bool{13298: true, 11: false, 77: false, 1329: false} {
		if got := lockHeld([]byte(locks), inode); got != want {
			t.Errorf("%d: %t, want %t", inode, got, want)
		}
	}
}

// serverOn is one without flags on a host with that memory.
func serverOn(h host) *Server {
	m := memory.Share(h.memory.Limit())
	s := &Server{Hub: hub.DefaultOptions(), LogBytes: m.Log, LogFlag: "-log-tail", Reserve: func(open, _ int) int { return open + 64 }}
	s.Hub.Loops.Memory.BufferBytes, s.Hub.Rows.MaxBytes = m.Buffers, m.Rows
	return s
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
	h.cores, h.files = 2, 524_288
	for _, c := range []struct {
		connections int64
		warnings    string // in the order of the findings
	}{
		{1000, "net.ipv4.tcp_max_syn_backlog"},
		{100_000, "memory net.ipv4.tcp_mem net.core.somaxconn net.ipv4.tcp_max_syn_backlog"},
		{10_000_000, "RLIMIT_NOFILE fs.nr_open memory net.ipv4.tcp_mem net.ipv4.tcp_wmem net.core.somaxconn " +
			"net.ipv4.tcp_max_syn_backlog"},
	} {
		var warnings []string
		for _, f := range examine(h, serverOn(h), c.connections) {
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
	h.cores, h.files = 2, 524_288
	for _, f := range examine(h, serverOn(h), 150_000) {
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
	h.cores, h.files = 2, 524_288
	for _, f := range examine(h, serverOn(h), 150_000) {
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
	for what, v := range verdicts(examine(h, serverOn(h), 1000)) {
		if v != warn && what != "RLIMIT_NOFILE" {
			t.Errorf("%s is %s though it can't be known", what, v)
		}
	}
	if s := estimate(h, serverOn(h)).sentence(0); strings.Contains(s, "memory") {
		t.Errorf("an estimate from nothing: %s", s)
	}
}

func TestEstimate(t *testing.T) {
	h := host{cores: 2, files: 524_288, sysctls: map[string][]int64{tcpRmem: {4096}, tcpWmem: {4096}},
		memory: memory.Host{Total: 4 * cli.GiB, Available: 4 * cli.GiB, Group: -1}}
	s := serverOn(h)
	e := estimate(h, s)
	if want := int64(3*cli.GiB-cli.GiB-(256+64)*cli.MiB) / (13 * cli.KiB); e.memory != want {
		t.Errorf("memory allows %d connections, want %d", e.memory, want)
	}
	fetching := *s
	fetching.RowsFetched = true
	kept := int64(s.Hub.Loops.Memory.BufferBytes) + int64(memory.Defaults().Rows) + int64(s.LogBytes)
	if n := fetching.Kept(); n != kept {
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
	h.memory.Group = 64 * cli.MiB
	if n := estimate(h, serverOn(h)).memory; n <= 0 || n > 64*cli.MiB/3/(13*cli.KiB) {
		t.Errorf("%d connections in a third of 64 MiB", n)
	}
	h.memory.Group = 16 * cli.MiB
	if n := estimate(h, s).memory; n != 0 {
		t.Errorf("%d connections in less memory than the buffers take", n)
	}
}

// Whoever names no number is told what fits, and is not warned of what a larger number would take.
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
		err := wstest.Unprivileged(t, func() error {
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

// Doctor says what a server with the same flags says at its start.
func TestNeededFiles(t *testing.T) {
	h := host{cores: 2}
	s := serverOn(h)
	s.Hub.Loops.Accept.MaxConnections = 5
	for _, n := range []int64{1, 100, 4000, 10_000, 100_000, 1_000_000} {
		need := h.neededFiles(s, n)
		s.Hub.Loops.Accept.MaxConnections = 0
		with, err := s.capacity(h.cores, need)
		less, _ := s.capacity(h.cores, need-1)
		if err != nil || int64(with.Connections) < n || int64(less.Connections) >= n {
			t.Errorf("%d connections are to need %d descriptors, which hold %d; one less holds %d", n, need, with.Connections, less.Connections)
		}
	}
}

func TestExamineProxies(t *testing.T) {
	for _, c := range []struct {
		trusted, listen string
		connections     int64
		verdict         verdict
		meaning         string
	}{
		{"10.0.0.1", "10.0.0.9:4322", 64_512, fine, "believed."},
		{"10.0.0.1", "10.0.0.9:4322", 64_513, warn, "1 address can have at most 64512 connections to 10.0.0.9:4322. 64513 take 2 addresses"},
		{"10.0.0.1,10.0.0.2", "10.0.0.9:4322", 129_024, fine, "believed."},
		{"10.0.0.1,10.0.0.2", "10.0.0.9:4322", 1_000_000, warn, "2 addresses can have at most 129024 connections to 10.0.0.9:4322. 1000000 take 16"},
		{"10.0.0.1", ":4322", 1_000_000, fine, "believed."},
		{"10.0.0.1", "[::]:4322", 1_000_000, fine, "believed."},
		{"10.0.0.0/24", "10.0.0.9:4322", 1_000_000, fine, "believed."},
		{"10.0.0.1,0.0.0.0/0", ":4322", 1, warn, "0.0.0.0/0 is everybody"},
		{"::/0", ":4322", 1, warn, "::/0 is everybody"},
	} {
		var trusted []netip.Prefix
		if !cli.Prefixes(&trusted).Set(c.trusted) {
			t.Fatal(c.trusted)
		}
		f := examineProxies(trusted, c.listen, c.connections)
		if f.verdict != c.verdict || !strings.Contains(f.meaning, c.meaning) || (f.verdict == fine) != (len(f.fix) == 0) {
			t.Errorf("%+v: got %+v", c, f)
		}
	}
}

// Whoever names no number is told what fits, and is not warned of what a larger number would take.
func TestExamineWithoutANumber(t *testing.T) {
	h := readHost(aHost())
	h.cores, h.files = 2, 524_288
	s := serverOn(h)
	findings := examine(h, s, estimate(h, s).connections())
	if verdicts(findings)["net.ipv4.tcp_max_syn_backlog"] != warn {
		t.Fatal("nothing to take back")
	}
	withoutNumber(findings)
	for _, f := range findings {
		if f.verdict != fine || len(f.fix) > 0 {
			t.Errorf("%s %s: %s", f.verdict, f.what, f.meaning)
		}
	}
}
