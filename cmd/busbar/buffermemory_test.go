package main

import (
	"testing"
	"testing/fstest"
)

func TestDefaultOfBufferMemory(t *testing.T) {
	meminfo := func(kb string) []byte { return []byte("MemTotal:       " + kb + " kB\nMemAvailable:   1000000 kB\n") }
	cgroup := []byte("0::/box\n")
	for name, test := range map[string]struct {
		files fstest.MapFS
		given int
		want  int
	}{
		"a quarter of the host": {files: fstest.MapFS{"proc/meminfo": {Data: meminfo("8388608")}}, want: 2 * gib},
		"a quarter of the group": {want: 256 * mib, files: fstest.MapFS{
			"proc/meminfo": {Data: meminfo("8388608")}, "proc/self/cgroup": {Data: cgroup},
			"sys/fs/cgroup/box/memory.max": {Data: []byte("1073741824\n")}}},
		"a group without a limit": {want: 2 * gib, files: fstest.MapFS{
			"proc/meminfo": {Data: meminfo("8388608")}, "proc/self/cgroup": {Data: cgroup},
			"sys/fs/cgroup/box/memory.max": {Data: []byte("max\n")}}},
		"never too little": {files: fstest.MapFS{"proc/meminfo": {Data: meminfo("262144")}}, want: 128 * mib},
		"unknown memory":   {files: fstest.MapFS{}, want: 128 * mib},
		"as told":          {files: fstest.MapFS{"proc/meminfo": {Data: meminfo("8388608")}}, given: 300 * mib, want: 300 * mib},
	} {
		cfg := Config{BufferMemory: test.given}
		if got := cfg.bufferMemory(test.files, 128*mib); got != test.want {
			t.Errorf("%s: %s, want %s", name, formatSize(got), formatSize(test.want))
		}
	}
}

func TestErrorsOfBufferMemory(t *testing.T) {
	for _, test := range []badConfig{
		{args: "-buffer-memory 127MiB", want: `-buffer-memory: "127MiB" is less than twice -queue-bytes 64MiB, so that one queue alone could have clients ended`},
		{args: "-buffer-memory 1GiB -lag-bytes 600MiB", want: `-buffer-memory: "1GiB" is less than twice -lag-bytes 600MiB, so that one queue alone could have clients ended`},
		{args: "-buffer-memory lots", want: `-buffer-memory: "lots" isn't a size of at least 0, in bytes or with a unit, such as 64KiB`},
	} {
		test.check(t)
	}
}
