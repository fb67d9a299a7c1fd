package memory

import (
	"math"
	"testing"
	"testing/fstest"
)

func TestReadHost(t *testing.T) {
	const mib, gib = 1 << 20, 1 << 30
	const meminfo = "MemTotal:  8388608 kB\nMemFree: 5 kB\nMemAvailable: 1024 kB\n"
	for name, test := range map[string]struct {
		files map[string]string
		want  Host
		limit int64
	}{
		"a host":            {map[string]string{"proc/meminfo": meminfo}, Host{8 * gib, mib, -1}, 8 * gib},
		"Linux before 3.14": {map[string]string{"proc/meminfo": "MemTotal:  2048 kB\n"}, Host{2 * mib, -1, -1}, 2 * mib},
		"nothing":           {map[string]string{"proc/meminfo": "MemTotal: much\n"}, Host{-1, -1, -1}, 512 * mib},
		"version 2": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a.slice/b.service\n",
			"sys/fs/cgroup/a.slice/b.service/memory.max": "1073741824\n"}, Host{8 * gib, mib, gib}, gib},
		"version 2, an ancestor's": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a.slice/b.service\n",
			"sys/fs/cgroup/a.slice/b.service/memory.max": "max\n", "sys/fs/cgroup/a.slice/memory.max": "536870912\n",
			"sys/fs/cgroup/memory.max": "1073741824\n"}, Host{8 * gib, mib, 512 * mib}, 512 * mib},
		"version 2, in a container": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/../../elsewhere\n",
			"sys/fs/cgroup/memory.max": "268435456\n"}, Host{8 * gib, mib, 256 * mib}, 256 * mib},
		"version 2 without a limit": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n",
			"sys/fs/cgroup/memory.max": "max\n"}, Host{8 * gib, mib, -1}, 8 * gib},
		"version 1": {map[string]string{"proc/meminfo": meminfo,
			"proc/self/cgroup": "9:name=systemd:/x\n3:hugetlb,memory:/docker/1\n1:cpu,cpuacct:/\n0::/\n",
			"sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes": "536870912\n",
			"sys/fs/cgroup/memory/docker/memory.limit_in_bytes":   "268435456\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":          "9223372036854771712\n"}, Host{8 * gib, mib, 256 * mib}, 256 * mib},
		"version 1 without a limit": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "4:memory:/\n5:memory_recursive:/x\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":   "9223372036854710272\n",
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "1\n"}, Host{8 * gib, mib, -1}, 8 * gib},
		"a group larger than the host": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n",
			"sys/fs/cgroup/memory.max": "17179869184\n"}, Host{8 * gib, mib, 16 * gib}, 8 * gib},
		"garbage": {map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "garbage\n::\n"}, Host{8 * gib, mib, -1}, 8 * gib},
	} {
		root := fstest.MapFS{}
		for file, text := range test.files {
			root[file] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := ReadHost(root); got != test.want || got.Limit() != test.limit {
			t.Errorf("%s: %+v, limit %d; want %+v, %d", name, got, got.Limit(), test.want, test.limit)
		}
	}
}

// What is kept by default fits below the Go runtime's limit, and that below what there is.
func TestSharesStayBelowTheLimit(t *testing.T) {
	for limit := int64(16 << 20); limit < 1<<50; limit += limit/3 + 12345 {
		s := Share(limit)
		sum := int64(s.Buffers) + 2*int64(s.Rows) + 2*int64(s.Log) + int64(s.Tokens) + int64(s.BadTokens)
		if sum >= s.Heap || s.Heap >= limit {
			t.Errorf("%d: the parts come to %d, and the heap may have %d", limit, sum, s.Heap)
		}
		if s.Buffers != int(limit/4) || s.Buffers < 2*s.Queue || s.Buffers < 2*s.Lag || s.Queue < 2*s.Message {
			t.Errorf("%d: %+v", limit, s)
		}
	}
	if s := Share(0); s.Message < 1<<20 || s.Lag < 1<<20 {
		t.Errorf("of nothing: %+v", s)
	}
	if s := Share(math.MaxInt64); s.Rows != 256<<20 || s.Log != 64<<20 || s.Queue != 64<<20 || s.Lag != 5<<20 || s.Message != 16<<20 {
		t.Errorf("of everything: %+v", s)
	}
}
