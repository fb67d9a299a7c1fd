package doctor

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
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

// verdicts are the findings' by name.
func verdicts(findings []finding) map[string]verdict {
	m := make(map[string]verdict)
	for _, f := range findings {
		m[f.Name] = f.Verdict
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
			if f.Verdict != fine {
				warnings = append(warnings, f.Name)
				if len(f.Fix) == 0 {
					t.Errorf("%s: no command that would change it", f.title())
				}
			}
		}
		if got := strings.Join(warnings, " "); got != c.warnings {
			t.Errorf("%d connections:\n got %s\nwant %s", c.connections, got, c.warnings)
		}
	}
}

// What -fix-print prints is what makes a host hold that many connections, in the form that sysctl and systemd take.
func TestFixReachesTheNumber(t *testing.T) {
	const n = 150_000
	files := aHost()
	files["proc/meminfo"] = &fstest.MapFile{Data: []byte("MemTotal: 16028440 kB\nMemAvailable: 15145728 kB\n")}
	files["proc/sys/net/netfilter/nf_conntrack_max"] = &fstest.MapFile{Data: []byte("65536\n")}
	files["proc/sys/net/ipv4/tcp_rmem"] = &fstest.MapFile{Data: []byte("65536 131072 6291456\n")}
	files["proc/sys/net/ipv4/tcp_wmem"] = &fstest.MapFile{Data: []byte("4096 16384 65536\n")}
	h := readHost(files)
	h.cores, h.files = 2, 4096
	before := report(h, serverOn(h), n)
	var text strings.Builder
	if err := before.WriteFix(&text); err != nil || before.Connections >= n {
		t.Fatalf("%v: there is nothing to mend: %+v", err, before)
	}
	for line := range strings.Lines(text.String()) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		number, _ := strconv.ParseInt(strings.TrimSuffix(value, "M"), 10, 64)
		switch {
		case !ok || strings.HasPrefix(line, "#"):
		case name == "LimitNOFILE":
			h.files = number
		case name == "MemoryMax":
			files["sys/fs/cgroup/system.slice/memory.max"].Data = fmt.Append(nil, number*cli.MiB)
		default:
			files["proc/sys/"+strings.ReplaceAll(name, ".", "/")] = &fstest.MapFile{Data: []byte(value + "\n")}
		}
	}
	descriptors := h.files
	h = readHost(files)
	h.cores, h.files = 2, descriptors
	after := report(h, serverOn(h), n)
	if after.Connections < n || after.Warnings > 0 {
		t.Errorf("it now holds %d connections until %s runs out, with %d warnings, after\n%s", after.Connections, after.RunsOutFirst, after.Warnings, &text)
	}
	text.Reset()
	if err := after.WriteFix(&text); err != nil || strings.Count(text.String(), "# nothing: what there is suffices\n") != 2 {
		t.Errorf("%v: there is still to mend:\n%s", err, &text)
	}
}

// A container may hide all of it. That is said, and isn't taken for a host without limits.
func TestExamineAHostThatShowsNothing(t *testing.T) {
	h := readHost(fstest.MapFS{})
	for what, v := range verdicts(examine(h, serverOn(h), 1000)) {
		if v != warn && what != "RLIMIT_NOFILE" && what != "CPU" {
			t.Errorf("%s is %s though it can't be known", what, v)
		}
	}
	if e := estimate(h, serverOn(h)); e.memory != -1 || len(e.limits) != 1 || e.limits[0].Name != nofile {
		t.Errorf("an estimate from nothing: %+v", e)
	}
}

// Whatever is lowest is what runs out first, at the number that it is enough for.
func TestWhatRunsOutFirst(t *testing.T) {
	for name, c := range map[string]struct {
		file, text string
		want       int64
	}{
		tcpMem:    {sysctlFile(tcpMem), "10 20 3000", 1500},
		fileMax:   {sysctlFile(fileMax), "12345", 2345},
		conntrack: {sysctlFile(conntrack), "4321", 4321},
		"memory":  {"sys/fs/cgroup/system.slice/memory.max", "104857600", 2461},
	} {
		files := aHost()
		files[c.file] = &fstest.MapFile{Data: []byte(c.text)}
		h := readHost(files)
		h.cores, h.files = 2, 524_288
		if r := report(h, serverOn(h), 0); r.RunsOutFirst != name || r.Connections != c.want {
			t.Errorf("%s: %s at %d, want %d", name, r.RunsOutFirst, r.Connections, c.want)
		}
	}
	h := readHost(aHost())
	h.cores, h.files = 2, 1000
	if r := report(h, serverOn(h), 0); r.RunsOutFirst != nofile || r.Connections >= 1000 || r.Connections < 900 {
		t.Errorf("descriptors: %s at %d", r.RunsOutFirst, r.Connections)
	}
	// Where a server says that it has too few of them to start, none is held.
	s := serverOn(h)
	for h.files = 0; ; h.files++ {
		_, err := s.capacity(h.cores, h.files)
		if err == nil {
			break
		}
		r := report(h, s, 0)
		if f := r.Findings[0]; r.RunsOutFirst != nofile || r.Connections != 0 || r.Failures != 1 || f.Name != nofile || f.Verdict != fail {
			t.Fatalf("%v: %d connections until %s runs out, %+v", err, r.Connections, r.RunsOutFirst, f)
		}
	}
	if r := report(h, s, 0); r.RunsOutFirst != nofile || r.Connections != 1 || r.Failures != 0 {
		t.Errorf("%d descriptors: %+v", h.files, r)
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
	if f := h.examineMemory(&fetching, 1); strings.Contains(f.Meaning, "-rows-bytes") {
		t.Errorf("-rows-bytes has no effect with -rows-url: %s", f.Meaning)
	}
	for asked, want := range map[int64]string{0: fmt.Sprintf("holds about %d. What runs out first is memory; RLIMIT_NOFILE at ", e.memory),
		100_000: "That is enough for 100000 (-connections).", 200_000: "That is less than 200000 (-connections)."} {
		if s := report(h, s, asked).conclusion(); !strings.Contains(s, want) {
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
		if f.Verdict != want.verdict || !strings.Contains(f.Meaning, want.meaning) {
			t.Errorf("%q: %s %s, want %s and %q", path, f.Verdict, f.Meaning, want.verdict, want.meaning)
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
			if f := examineDataDir(path, nil); f.Verdict != fail {
				return fmt.Errorf("%s: %s %s", path, f.Verdict, f.Meaning)
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
		if f := examinePort("-listen", address, t.TempDir(), nil); f.Verdict != want {
			t.Errorf("%s: %s %s, want %s", address, f.Verdict, f.Meaning, want)
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
		if f.Verdict != c.verdict || !strings.Contains(f.Meaning, c.meaning) || (f.Verdict == fine) != (len(f.Fix) == 0) {
			t.Errorf("%+v: got %+v", c, f)
		}
	}
}

// Whoever names no number is told what fits, and is not warned of what a larger number would take.
func TestExamineWithoutANumber(t *testing.T) {
	h := readHost(aHost())
	h.cores, h.files = 2, 524_288
	s := serverOn(h)
	all := report(h, s, 0)
	if verdicts(report(h, s, all.Connections).Findings)[synMax] != warn {
		t.Fatal("nothing to take back")
	}
	for _, f := range all.Findings {
		if f.Verdict != fine || len(f.Fix) > 0 {
			t.Errorf("%s %s: %s", f.Verdict, f.title(), f.Meaning)
		}
	}
	if all.Warnings != 0 || all.RunsOutFirst != tcpMem || all.Connections != 45_000 {
		t.Errorf("%+v", all)
	}
}
