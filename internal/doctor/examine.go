package doctor

import (
	"fmt"
	"strings"

	"github.com/busbar-ws/busbar/internal/cli"
	"github.com/busbar-ws/busbar/internal/memory"
)

// Names of limits.
const (
	nofile    = "RLIMIT_NOFILE"
	fileMax   = "fs.file-max"
	somaxconn = "net.core.somaxconn"
	synMax    = "net.ipv4.tcp_max_syn_backlog"
	tcpMem    = "net.ipv4.tcp_mem"
	tcpRmem   = "net.ipv4.tcp_rmem"
	tcpWmem   = "net.ipv4.tcp_wmem"
	conntrack = "net.netfilter.nf_conntrack_max"
)

// examine judges a host by n connections to a server.
func examine(h host, s *Server, n int64) []finding {
	least := max(n, 1) // where the host holds none, so that the reader is told what it lacks
	need := h.neededFiles(s, least)
	// After a restart every client comes back within seconds; a tenth at once is what queues are judged by. Each loop has a
	// listener, and so queues, of its own.
	backlog := min(max(n/10/max(h.cores, 1), 1024), 65_535)
	atOnce := fmt.Sprintf(" There is one listener per event loop, and %d clients may come at once after a restart.", max(n/10, 1))
	findings := []finding{
		h.examineFiles(s, least, need),
		h.atLeast("fs.nr_open", need, "The most that RLIMIT_NOFILE can be raised to."),
		h.atLeast(fileMax, n+otherFiles, "Files and sockets that the whole host may have open."), // other processes have some too
		h.examineMemory(s, n), h.examineTCPMem(n), h.examineRmem(n), h.examineWmem(s, n),
		h.atLeast(somaxconn, backlog,
			"Connections that may wait to be accepted, per listener; beyond it a client tries again after a second."+atOnce),
		h.atLeast(synMax, backlog,
			"Handshakes that may be unfinished, per listener, when there are no SYN cookies."+atOnce),
	}
	if h.sysctl(conntrack, 0) >= 0 {
		findings = append(findings, h.atLeast(conntrack, n+n/4,
			"Connections that the firewall's table holds. When it is full, packets of new ones are dropped."))
	}
	return append(findings, h.examineCores(s, n)...)
}

// unknown is a figure that couldn't be read.
func unknown(name, where string) finding {
	return finding{Verdict: warn, Name: name, Value: "unknown", Meaning: "It could not be read from " + where + "."}
}

// setting is a fine one of so many numbers, or an unknown one, which is false.
func (h host) setting(name string, numbers int) (finding, bool) {
	value := ""
	for i := range numbers {
		if h.sysctl(name, i) < 0 {
			return unknown(name, "/"+sysctlFile(name)), false
		}
		value += fmt.Sprint(" ", h.sysctl(name, i))
	}
	return finding{Verdict: fine, Name: name, Value: strings.TrimSpace(value)}, true
}

// atLeast judges a setting that has to reach need.
func (h host) atLeast(name string, need int64, meaning string) finding {
	f, ok := h.setting(name, 1)
	if !ok {
		return f
	}
	if f.Meaning = meaning; h.sysctl(name, 0) < need {
		f.tooFew(fmt.Sprintf(" %d or more would do.", need))
		f.bySysctl(name, need)
	}
	return f
}

func (h host) examineFiles(s *Server, n, need int64) finding {
	f := finding{
		Verdict: fine, Name: nofile, Value: fmt.Sprint(h.files),
		Meaning: "The hard limit. A connection takes one descriptor, and a server keeps some for itself. It raises the soft limit to " +
			"the hard one.",
	}
	if h.files < need {
		f.tooFew(fmt.Sprintf(" It takes %d for %s. Under systemd the unit says so; in a shell, root does:", need, cli.Plural(int(n), "connection", "connections")))
		f.byUnit(fmt.Sprintf("LimitNOFILE=%d", need))
		f.Fix = append(f.Fix, fmt.Sprintf("ulimit -n %d", need))
		if _, err := s.capacity(h.cores, h.files); err != nil {
			f.Verdict = fail
		}
	}
	return f
}

// portsOfAnAddress is how many ports TCP tells connections from one address to another apart by.
const portsOfAnAddress = 65_535 - 1024 + 1

func mebibytes(bytes int64) string { return fmt.Sprintf("%d MiB", bytes/cli.MiB) }

// examineMemory explains how the estimate of connections comes about.
func (h host) examineMemory(s *Server, n int64) finding {
	e, each, kept := estimate(h, s), h.connectionBytes(), s.Kept()
	if e.memory < 0 {
		return unknown("memory", "/proc/meminfo")
	}
	rows, fix := "-rows-bytes "+cli.FormatSize(s.Hub.Rows.MaxBytes), "busbar -buffer-memory 128MiB -rows-bytes 32MiB "
	if s.RowsFetched {
		rows, fix = "rows being fetched "+cli.FormatSize(memory.Defaults().Rows), "busbar -buffer-memory 128MiB "
	}
	group := ""
	if h.memory.Group >= 0 {
		group = ", cgroup limit " + mebibytes(h.memory.Group)
	}
	f := finding{
		Verdict: fine, Name: "memory", Value: fmt.Sprintf("%s, %s of it available%s", mebibytes(h.memory.Total), mebibytes(h.memory.Available), group),
		Meaning: fmt.Sprintf("Room for %d connections, cautiously: of three quarters of the %s that can be used now, a busbar may take %s "+
			"when all is full (-buffer-memory %s, %s, %s %s, what is stored twice with -compression); a connection "+
			"takes %d bytes: %d of Busbar's, %d of the kernel's, and %d for data under way.",
			e.memory, mebibytes(h.usable()), mebibytes(kept), mebibytes(int64(s.Hub.Loops.Memory.BufferBytes)), rows,
			s.LogFlag, cli.FormatSize(s.LogBytes), each.sum(), each.User, each.Kernel, each.UnderWay),
	}
	if e.memory >= n {
		return f
	}
	f.tooFew("")
	for _, name := range []string{tcpRmem, tcpWmem} {
		if more := h.sysctl(name, 0) - h.page; more > 0 && h.sysctl(name, 2) >= 0 {
			each.UnderWay -= more
			f.bySysctl(name, h.page, max(h.sysctl(name, 1), h.page), max(h.sysctl(name, 2), h.page))
		}
	}
	need := h.neededMemory(s, n, each.sum())
	f.Meaning += fmt.Sprintf(" %d would need %s", n, mebibytes(need))
	switch {
	case need < h.usable():
		f.Meaning += " with less for data under way."
	case group != "" && need <= h.memory.Available:
		f.Meaning += ", which the host has. Raise the control group's limit:"
		f.byUnit(fmt.Sprintf("MemoryMax=%dM", need/cli.MiB))
	default:
		f.tooFew(". Take a larger host, or smaller buffers:", fix+s.LogFlag+" 16MiB")
	}
	return f
}

// examineTCPMem judges by one page each way for every connection, which is the least that data under way is charged with.
func (h host) examineTCPMem(n int64) finding {
	f, ok := h.setting(tcpMem, 3)
	if !ok {
		return f
	}
	pressure, most, need := h.sysctl(tcpMem, 1), h.sysctl(tcpMem, 2), 2*n
	f.Meaning = fmt.Sprintf("Pages of %d bytes that all TCP buffers may take. An idle connection takes none, one with data under "+
		"way at least one each way: from %d such connections on the kernel keeps buffers small, and at %d it grants no more.",
		h.page, pressure/2, most/2)
	if pressure < need {
		f.tooFew(fmt.Sprintf(" %d would pass that.", n))
		f.bySysctl(tcpMem, need*3/4, need, need*3/2)
	}
	return f
}

// examineRmem explains it: what every connection is granted is judged as memory.
func (h host) examineRmem(n int64) finding {
	f, ok := h.setting(tcpRmem, 3)
	if !ok {
		return f
	}
	least := min(h.sysctl(tcpRmem, 0), 1<<40)
	f.Meaning = fmt.Sprintf("Receive buffer of a connection: least, at first, most. The server reads what comes at once, so that "+
		"buffers stay small; the least is granted even when memory is short, %s to %d connections.", mebibytes(least*n), n)
	return f
}

// examineWmem judges by one client in a hundred that doesn't read and whose send buffer has grown to its most, or is full
// at -notsent-lowat before.
func (h host) examineWmem(s *Server, n int64) finding {
	f, ok := h.setting(tcpWmem, 3)
	if !ok {
		return f
	}
	held, up := min(h.sysctl(tcpWmem, 2), 1<<40), "its most"
	if lowat := int64(s.Hub.Loops.NotSentLowat); lowat > 0 && lowat < held {
		held, up = lowat, cli.FormatSize(int(lowat))+" (-notsent-lowat)"
	}
	held *= max(n/100, 1)
	f.Meaning = fmt.Sprintf("Send buffer of a connection: least, at first, most. It fills up to %s when a client doesn't read: "+
		"one in a hundred of %d could hold %s.", up, n, mebibytes(held))
	if usable := h.usable(); usable >= 0 && held > usable/4 {
		f.tooFew(" That is over a quarter of the memory; the server bounds it with less:", "busbar -notsent-lowat 16KiB")
	}
	return f
}
