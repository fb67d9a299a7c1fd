package main

import (
	"math"
	"strings"
	"testing"
)

func TestParseNumbers(t *testing.T) {
	for text, want := range map[string][3]int64{
		"1\t2\t3\n":            {1, 2, 3},
		"1 2":                  {1, 2, -1},
		"1 x 3 4":              {1, -1, 3},
		"-5":                   {-1, -1, -1},
		"":                     {-1, -1, -1},
		"18446744073709551615": {math.MaxInt64, -1, -1},
	} {
		var got [3]int64
		if parseNumbers([]byte(text), got[:]); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestParseLimits(t *testing.T) {
	for text, want := range map[string][2]int64{
		"Max cpu time  unlimited unlimited seconds\nMax open files  1024   4096   files\n": {1024, 4096},
		"Max open files            1024                 unlimited            files     ":   {1024, math.MaxInt64},
		"Max open files": {-1, -1},
		"":               {-1, -1},
	} {
		if soft, hard := parseLimits([]byte(text)); [2]int64{soft, hard} != want {
			t.Errorf("%q: %d %d, want %v", text, soft, hard, want)
		}
	}
}

func TestParseMeminfo(t *testing.T) {
	for text, want := range map[string][2]int64{
		"MemTotal:  2048 kB\nMemFree: 5 kB\nMemAvailable: 1024 kB\n": {2 * mib, mib},
		"MemTotal:  2048 kB\n": {2 * mib, -1}, // Linux before 3.14
		"MemTotal: much\n":     {-1, -1},
		"":                     {-1, -1},
	} {
		if total, available := parseMeminfo([]byte(text)); [2]int64{total, available} != want {
			t.Errorf("%q: %d %d, want %v", text, total, available, want)
		}
	}
}

func TestCgroupMemoryFiles(t *testing.T) {
	for text, want := range map[string]string{
		"0::/\n": "sys/fs/cgroup/memory.max",
		"0::/a.slice/b.service\n": "sys/fs/cgroup/a.slice/b.service/memory.max sys/fs/cgroup/a.slice/memory.max " +
			"sys/fs/cgroup/memory.max",
		"9:name=systemd:/x\n4:memory:/docker/1\n1:cpu,cpuacct:/\n": "sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes " +
			"sys/fs/cgroup/memory/docker/memory.limit_in_bytes sys/fs/cgroup/memory/memory.limit_in_bytes",
		"3:hugetlb,memory:/\n":   "sys/fs/cgroup/memory/memory.limit_in_bytes",
		"0::/../../elsewhere\n":  "sys/fs/cgroup/elsewhere/memory.max sys/fs/cgroup/memory.max",
		"4:memory_recursive:/\n": "",
		"garbage\n":              "",
	} {
		if got := strings.Join(cgroupMemoryFiles([]byte(text)), " "); got != want {
			t.Errorf("%q:\n got %s\nwant %s", text, got, want)
		}
	}
}

func TestParseCgroupLimit(t *testing.T) {
	for text, want := range map[string]int64{
		"max\n": -1, "": -1, "9223372036854771712\n": -1, "9223372036854710272\n": -1, "536870912\n": 512 * mib, "0\n": 0,
	} {
		if got := parseCgroupLimit([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
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

func TestParseKernel(t *testing.T) {
	for release, want := range map[string][2]int{
		"6.18.44-fc-v669": {6, 18}, "5.15": {5, 15}, "4.19-rc1": {4, 19},
	} {
		major, minor, ok := parseKernel(release)
		if !ok || [2]int{major, minor} != want {
			t.Errorf("%s: %d.%d %t, want %v", release, major, minor, ok, want)
		}
	}
	for _, release := range []string{"", "6", "six.one", "6."} {
		if _, _, ok := parseKernel(release); ok {
			t.Errorf("%q was read", release)
		}
	}
}
