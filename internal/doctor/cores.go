package doctor

import (
	"fmt"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"

	"github.com/busbar-ws/busbar/internal/cgroup"
	"github.com/busbar-ws/busbar/internal/cli"
)

// processing is what /proc and /sys say about the cores and what runs on them. What they don't say is empty.
type processing struct {
	quota     float64 // cores that the control group may use, the lowest of it and those above; 0 for all
	clock     string  // the clock source in use
	clocks    string  // those there are
	hugePages string  // transparent huge pages: always, madvise or never
	nics      []nic   // network interfaces that are devices
}

// nic is a network interface. Packets that arrive are handled by one core for each queue, unless RPS spreads them.
type nic struct {
	name   string
	queues []string // of those that receive, by name
	rps    bool
}

const clockFiles = "sys/devices/system/clocksource/clocksource0/"

func readProcessing(root fs.FS) processing {
	text := func(name string) string {
		b, _ := fs.ReadFile(root, name)
		return strings.TrimSpace(string(b))
	}
	p := processing{quota: readQuota(root, text), clock: text(clockFiles + "current_clocksource"), clocks: text(clockFiles + "available_clocksource")}
	_, after, _ := strings.Cut(text("sys/kernel/mm/transparent_hugepage/enabled"), "[") // always [madvise] never
	p.hugePages, _, _ = strings.Cut(after, "]")
	devices, _ := fs.Glob(root, "sys/class/net/*/device")
	for _, device := range devices {
		dir := path.Dir(device)
		n := nic{name: path.Base(dir)}
		queues, _ := fs.Glob(root, dir+"/queues/rx-*")
		for _, queue := range queues {
			n.queues = append(n.queues, path.Base(queue))
			n.rps = n.rps || strings.Trim(text(queue+"/rps_cpus"), "0,") != ""
		}
		if len(n.queues) > 0 {
			p.nics = append(p.nics, n)
		}
	}
	return p
}

// readQuota is the lowest that bounds the process.
func readQuota(root fs.FS, text func(string) string) float64 {
	lowest := 0.0
	for _, name := range cgroup.Files(root, "cpu", "cpu.cfs_quota_us", "cpu.max") {
		// Version 2 has quota and period in one file, and "max" for none; version 1 has -1.
		quota, period, _ := strings.Cut(text(name), " ")
		if strings.HasSuffix(name, "cpu.cfs_quota_us") {
			period = text(path.Dir(name) + "/cpu.cfs_period_us")
		}
		q, errQuota := strconv.ParseFloat(quota, 64)
		p, errPeriod := strconv.ParseFloat(period, 64)
		if errQuota == nil && errPeriod == nil && q > 0 && p > 0 && (lowest == 0 || q/p < lowest) {
			lowest = q / p
		}
	}
	return lowest
}

// examineCores judges what decides how much a core gets done, where it is visible.
func (h host) examineCores(s *Server, n int64) []finding {
	findings := []finding{h.examineQuota(s)}
	if h.clock != "" {
		findings = append(findings, h.examineClock())
	}
	if h.hugePages != "" {
		findings = append(findings, h.examineHugePages())
	}
	for _, card := range h.nics {
		findings = append(findings, h.examineNIC(card, n))
	}
	return findings
}

func (h host) examineQuota(s *Server) finding {
	loops := s.loops(h.cores)
	f := finding{Verdict: fine, Name: "CPU", Value: cli.Plural(int(h.cores), "core", "cores"),
		Meaning: fmt.Sprintf("A server has an event loop for each core, here %d (-loops).", loops)}
	if h.quota == 0 {
		return f
	}
	f.Value += fmt.Sprintf(", cgroup quota %.2f", h.quota)
	f.Meaning += " What has used up the quota stands still until the next period, a tenth of a second by default."
	if most := int(math.Ceil(h.quota)); loops > most {
		f.Verdict = warn
		f.Meaning += " More loops than the quota has cores use it up sooner:"
		f.Fix = []string{fmt.Sprintf("busbar -loops %d", most)}
	}
	return f
}

// slowClocks take a system call, or a read from a device, each time that they are looked at.
var slowClocks = map[string]bool{"hpet": true, "acpi_pm": true, "jiffies": true, "refined-jiffies": true, "pit": true}

func (h host) examineClock() finding {
	f := finding{Verdict: fine, Name: "clock source", Value: h.clock, Meaning: "The clock is read without a system call."}
	if slowClocks[h.clock] {
		f.Verdict = warn
		f.Meaning = "Each look at the clock is a system call, and a slow one."
		for _, better := range []string{"tsc", "kvm-clock", "arch_sys_counter"} {
			if strings.Contains(" "+h.clocks+" ", " "+better+" ") {
				f.Fix = []string{"echo " + better + " > /" + clockFiles + "current_clocksource"}
				return f
			}
		}
		f.Meaning += " There is no better one here: " + h.clocks + "."
	}
	return f
}

func (h host) examineHugePages() finding {
	f := finding{Verdict: fine, Name: "transparent huge pages", Value: h.hugePages, Meaning: "The heap is made of pages of 4 KiB, unless Go asks for others."}
	if h.hugePages == "always" {
		f.Meaning = "The kernel may back free parts of the heap with pages of 2 MiB, so that resident memory is more than is used."
		f.tooFew("", "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled")
	}
	return f
}

// manyPackets is from how many connections on one core for all packets is worth a warning.
const manyPackets = 10_000

func (h host) examineNIC(card nic, n int64) finding {
	rps := "RPS off"
	if card.rps {
		rps = "RPS on"
	}
	f := finding{Verdict: fine, Name: "network " + card.name, Value: cli.Plural(len(card.queues), "receive queue", "receive queues") + ", " + rps,
		Meaning: "Packets that arrive are handled by one core for each queue, or with RPS by several."}
	if len(card.queues) == 1 && !card.rps && h.cores > 2 && n >= manyPackets {
		f.tooFew(" Here one core handles all of them; where the device can't have more queues (ethtool -L), RPS helps:",
			fmt.Sprintf("echo %s > /sys/class/net/%s/queues/%s/rps_cpus", coreMask(h.cores), card.name, card.queues[0]))
	}
	return f
}

// coreMask has a bit for each core, in groups of 32 as the kernel wants them.
func coreMask(cores int64) string {
	mask := fmt.Sprintf("%x", uint32(1)<<(cores%32)-1)
	if cores%32 == 0 {
		mask = "ffffffff"
		cores -= 32
	}
	return mask + strings.Repeat(",ffffffff", int(cores/32))
}
