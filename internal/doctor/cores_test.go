package doctor

import (
	"strings"
	"testing"
	"testing/fstest"
)

func TestReadQuota(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  float64
	}{
		"none": {nil, 0},
		"version 2, the lowest counts": {map[string]string{"proc/self/cgroup": "0::/a.slice/b.service\n", "sys/fs/cgroup/a.slice/cpu.max": "150000 100000\n",
			"sys/fs/cgroup/a.slice/b.service/cpu.max": "400000 100000\n"}, 1.5},
		"version 2 without a limit": {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 0},
		"version 1": {map[string]string{"proc/self/cgroup": "3:cpu,cpuacct:/docker/1\n2:cpuset:/x\n", "sys/fs/cgroup/cpu/docker/1/cpu.cfs_quota_us": "25000\n",
			"sys/fs/cgroup/cpu/docker/1/cpu.cfs_period_us": "50000\n"}, 0.5},
		"version 1 without a limit": {map[string]string{"proc/self/cgroup": "1:cpu:/\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
			"sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, 0},
	} {
		root := fstest.MapFS{}
		for file, text := range c.files {
			root[file] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := readHost(root).quota; got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// What decides how much a core gets done is said where it is visible, and warned of where it is bad.
func TestExamineCores(t *testing.T) {
	const quota, clock, pages, nic = "CPU", "clock source", "transparent huge pages", "network eth0"
	for name, c := range map[string]struct {
		about string
		files map[string]string
		cores int64
		want  string // verdict, value and the first command
	}{
		"a quota below the cores": {quota, map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 4,
			"WARN 4 cores, cgroup quota 1.50 busbar -loops 2"},
		"a quota of all":   {quota, map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "350000 100000\n"}, 4, "OK 4 cores, cgroup quota 3.50"},
		"a good clock":     {clock, map[string]string{clockFiles + "current_clocksource": "tsc\n"}, 4, "OK tsc"},
		"a slow clock":     {clock, map[string]string{clockFiles + "current_clocksource": "hpet\n", clockFiles + "available_clocksource": "hpet acpi_pm tsc \n"}, 4, "WARN hpet echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource"},
		"only slow clocks": {clock, map[string]string{clockFiles + "current_clocksource": "hpet\n", clockFiles + "available_clocksource": "hpet acpi_pm \n"}, 4, "WARN hpet"},
		"huge pages for all": {pages, map[string]string{"sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never\n"}, 4,
			"WARN always echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"},
		"huge pages when asked": {pages, map[string]string{"sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n"}, 4, "OK madvise"},
		"one queue": {nic, map[string]string{"sys/class/net/eth0/device/vendor": "", "sys/class/net/eth0/queues/rx-0/rps_cpus": "00,00000000\n",
			"sys/class/net/lo/queues/rx-0/rps_cpus": "0\n"}, 6, "WARN 1 receive queue, RPS off echo 3f > /sys/class/net/eth0/queues/rx-0/rps_cpus"},
		"one queue, with RPS": {nic, map[string]string{"sys/class/net/eth0/device/vendor": "", "sys/class/net/eth0/queues/rx-0/rps_cpus": "3f\n"}, 6,
			"OK 1 receive queue, RPS on"},
		"two queues": {nic, map[string]string{"sys/class/net/eth0/device/vendor": "", "sys/class/net/eth0/queues/rx-0/rps_cpus": "0\n",
			"sys/class/net/eth0/queues/rx-1/rps_cpus": "0\n"}, 6, "OK 2 receive queues, RPS off"},
	} {
		root := fstest.MapFS{}
		for file, text := range c.files {
			root[file] = &fstest.MapFile{Data: []byte(text)}
		}
		h := readHost(root)
		h.cores = c.cores
		seen, server := "", serverOn(h)
		server.Hub.Loops.Loops = 0 // one for each core
		for _, f := range h.examineCores(server, 100_000) {
			if f.Name == c.about {
				seen = strings.TrimSpace(string(f.Verdict) + " " + f.Value + " " + strings.Join(f.Fix, "; "))
			}
		}
		if seen != c.want {
			t.Errorf("%s: %q, want %q", name, seen, c.want)
		}
	}
}

func TestCoreMask(t *testing.T) {
	for cores, want := range map[int64]string{1: "1", 6: "3f", 32: "ffffffff", 33: "1,ffffffff", 64: "ffffffff,ffffffff", 70: "3f,ffffffff,ffffffff"} {
		if got := coreMask(cores); got != want {
			t.Errorf("%d cores: %s, want %s", cores, got, want)
		}
	}
}
