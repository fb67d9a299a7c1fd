package main

import (
	"fmt"
	"strings"
)

// examine judges a host by n connections to a server with these flags.
func examine(h host, cfg *Config, n int64) []finding {
	need := h.neededFiles(cfg, n)
	findings := []finding{
		h.examineKernel(), h.examineCores(cfg), h.examineFiles(n, need), h.examineNrOpen(need), h.examineFileMax(n),
		h.examineMemory(cfg, n), h.examineCgroup(),
		h.examineTCPMem(n), h.examineRmem(), h.examineWmem(cfg, n),
		h.examineBacklog("net.core.somaxconn", h.somaxconn, n), h.examineBacklog("net.ipv4.tcp_max_syn_backlog", h.synBacklog, n),
		h.examinePorts(n),
	}
	if h.conntrack >= 0 {
		findings = append(findings, h.examineConntrack(n))
	}
	return findings
}

// unknown is a figure that couldn't be read.
func unknown(what, where string) finding {
	return finding{verdict: warn, what: what + " unknown", meaning: "It could not be read from " + where + "."}
}

func sysctlFix(name, value string) []string {
	if strings.Contains(value, " ") {
		value = `"` + value + `"`
	}
	return []string{"sysctl -w " + name + "=" + value}
}

func isSysctl(command string) bool { return strings.HasPrefix(command, "sysctl ") }

func (h host) examineKernel() finding {
	major, minor, ok := parseKernel(h.kernel)
	if !ok {
		return unknown("kernel version", "/proc/sys/kernel/osrelease")
	}
	f := finding{verdict: fine, what: "kernel " + h.kernel}
	switch {
	case major < 3 || major == 3 && minor < 12:
		f.verdict = fail
		f.meaning = "A listener per event loop needs SO_REUSEPORT (3.9), and -notsent-lowat needs 3.12."
	case major < 5:
		f.verdict = warn
		f.meaning = "Kernels before 5 get no fixes any more, and their sockets cost more than is assumed here."
	default:
		f.meaning = "It has all that Busbar uses."
	}
	return f
}

func (h host) examineCores(cfg *Config) finding {
	return finding{
		verdict: fine, what: plural(int(h.cores), "core", "cores"),
		meaning: fmt.Sprintf("There is an event loop per core (-loops), and each may have %s of messages waiting (-queue-bytes).",
			formatSize(cfg.Hub.Loops.Memory.QueueBytes)),
	}
}

func (h host) examineFiles(n, need int64) finding {
	if h.hardFiles < 0 {
		return unknown("RLIMIT_NOFILE", "/proc/self/limits")
	}
	f := finding{
		verdict: fine, what: fmt.Sprintf("RLIMIT_NOFILE soft %s, hard %s", unlimited(h.softFiles), unlimited(h.hardFiles)),
		meaning: "A connection takes one descriptor, and a server keeps some for itself. It raises the soft limit to the hard one.",
	}
	if h.hardFiles < need {
		f.verdict, f.byNumber = warn, true
		if h.hardFiles < fewestFiles {
			f.verdict = fail
		}
		f.meaning += fmt.Sprintf(" %d connections need %d. Under systemd the unit says so; in a shell, root does:", n, need)
		f.fix = []string{
			fmt.Sprintf("systemctl edit busbar   # [Service] LimitNOFILE=%d", need),
			fmt.Sprintf("ulimit -n %d", need),
		}
	}
	return f
}

// fewestFiles is what a server needs to start at all, about.
const fewestFiles = 64

func unlimited(n int64) string {
	if n == 1<<63-1 {
		return "unlimited"
	}
	return fmt.Sprint(n)
}

func (h host) examineNrOpen(need int64) finding {
	return h.atLeast("fs.nr_open", h.nrOpen, need, "The most that RLIMIT_NOFILE can be raised to.")
}

func (h host) examineFileMax(n int64) finding {
	need := n + 10_000 // other processes have files open too
	return h.atLeast("fs.file-max", h.fileMax, need, "Files and sockets that the whole host may have open.")
}

// atLeast judges a setting that has to reach need.
func (h host) atLeast(name string, value, need int64, meaning string) finding {
	if value < 0 {
		return unknown(name, "/proc/sys/"+strings.ReplaceAll(name, ".", "/"))
	}
	f := finding{verdict: fine, what: fmt.Sprintf("%s = %d", name, value), meaning: meaning}
	if value < need {
		f.verdict, f.byNumber = warn, true
		f.meaning += fmt.Sprintf(" %d or more would do.", need)
		f.fix = sysctlFix(name, fmt.Sprint(need))
	}
	return f
}

// examineBacklog judges a queue of connections that aren't accepted yet. Each loop has
// a listener, and so queues, of its own. After a restart every client comes back
// within seconds; a tenth at once is what is judged by.
func (h host) examineBacklog(name string, value, n int64) finding {
	need := min(max(n/10/max(h.cores, 1), 1024), 65_535)
	meaning := "Handshakes that may be unfinished, per listener, when there are no SYN cookies."
	if name == "net.core.somaxconn" {
		meaning = "Connections that may wait to be accepted, per listener; beyond it a client tries again after a second."
	}
	return h.atLeast(name, value, need, meaning+fmt.Sprintf(" There is one listener per event loop, and %d "+
		"clients may come at once after a restart.", max(n/10, 1)))
}

// examinePorts matters beside the server, not to it: a proxy or load generator on
// this host needs a local port per connection to one address.
func (h host) examinePorts(n int64) finding {
	const name = "net.ipv4.ip_local_port_range"
	if h.ports[0] < 0 || h.ports[1] < h.ports[0] {
		return unknown(name, "/proc/sys/net/ipv4/ip_local_port_range")
	}
	count := h.ports[1] - h.ports[0] + 1
	const most = 65_535 - 1024 + 1
	f := finding{
		verdict: fine, what: fmt.Sprintf("%s = %d %d", name, h.ports[0], h.ports[1]),
		meaning: fmt.Sprintf("No limit to a server. A proxy or load generator on this host can have %d connections from one "+
			"address to one other address and port.", count),
	}
	if n > count && count < most-1024 {
		f.verdict, f.byNumber, f.fix = warn, true, sysctlFix(name, "1024 65535")
	}
	if n > most {
		f.meaning += fmt.Sprintf(" %d take %d local addresses there, or as many listening ports.", n, (n+most-1)/most)
	}
	return f
}

func (h host) examineConntrack(n int64) finding {
	return h.atLeast("net.netfilter.nf_conntrack_max", h.conntrack, n+n/4,
		"Connections that the firewall's table holds. When it is full, packets of new ones are dropped.")
}
