package main

import (
	"fmt"

	"github.com/busbar-ws/busbar/internal/memory"
)

func mebibytes(bytes int64) string { return fmt.Sprintf("%d MiB", bytes/mib) }

// examineMemory explains how the estimate of connections comes about.
func (h host) examineMemory(cfg *Config, n int64) finding {
	e, each, kept := estimate(h, cfg), h.connectionBytes(), cfg.kept()
	rows := "-rows-bytes " + formatSize(cfg.Hub.Rows.MaxBytes)
	logBytes, logFlag := cfg.Log.inMemory()
	fix := "busbar -buffer-memory 128MiB -rows-bytes 32MiB " + logFlag + " 16MiB"
	if cfg.RowsURL != "" {
		rows = "rows being fetched " + formatSize(memory.Defaults().Rows)
		fix = "busbar -buffer-memory 128MiB " + logFlag + " 16MiB"
	}
	if e.memory < 0 {
		return unknown("memory", "/proc/meminfo")
	}
	what := fmt.Sprintf("memory: %s, %s of it available", mebibytes(h.memory.Total), mebibytes(h.memory.Available))
	f := finding{verdict: fine, what: what, meaning: fmt.Sprintf(
		"Room for %d connections, cautiously: of three quarters of the %s that can be used now, a busbar may take %s when "+
			"all is full (-buffer-memory %s, %s, %s %s, what is stored twice with -compression); a connection "+
			"takes %d bytes: %d of Busbar's, %d of the kernel's, and %d for data under way.",
		e.memory, mebibytes(h.usable()), mebibytes(kept), mebibytes(int64(cfg.Hub.Loops.Memory.BufferBytes)), rows,
		logFlag, formatSize(logBytes), each, busbarBytes, socketBytes, each-busbarBytes-socketBytes)}
	if e.memory < n {
		f.verdict, f.byNumber = warn, true
		f.meaning += fmt.Sprintf(" %d would need %s. Take a larger host, or smaller buffers:", n, mebibytes((n*each+kept)/3*4))
		f.fix = []string{fix}
	}
	return f
}

func (h host) examineCgroup() finding {
	if h.memory.Group < 0 {
		return finding{verdict: fine, what: "cgroup memory limit: none", meaning: "The host's memory alone is the limit."}
	}
	return finding{
		verdict: fine, what: "cgroup memory limit: " + mebibytes(h.memory.Group),
		meaning: "The kernel ends the server when it and its sockets' buffers need more. What a server keeps by default is a part of it.",
	}
}

// examineTCPMem judges by one page each way for every connection, which is the least
// that data under way is charged with.
func (h host) examineTCPMem(n int64) finding {
	const name = "net.ipv4.tcp_mem"
	pressure := h.tcpMem[1]
	if h.tcpMem[2] < 0 {
		return unknown(name, "/proc/sys/net/ipv4/tcp_mem")
	}
	f := finding{
		verdict: fine, what: fmt.Sprintf("%s = %d %d %d", name, h.tcpMem[0], pressure, h.tcpMem[2]),
		meaning: fmt.Sprintf("Pages of %d bytes that all TCP buffers may take. An idle connection takes none, one with data under "+
			"way at least one each way: from %d such connections on the kernel keeps buffers small.", h.page, pressure/2),
	}
	if need := 2 * n; pressure < need {
		f.verdict, f.byNumber = warn, true
		f.meaning += fmt.Sprintf(" %d would pass that.", n)
		f.fix = sysctlFix(name, fmt.Sprintf("%d %d %d", need*3/4, need, need*3/2))
	}
	return f
}

func (h host) examineRmem() finding {
	const name = "net.ipv4.tcp_rmem"
	if h.tcpRmem[2] < 0 {
		return unknown(name, "/proc/sys/net/ipv4/tcp_rmem")
	}
	return finding{
		verdict: fine, what: fmt.Sprintf("%s = %d %d %d", name, h.tcpRmem[0], h.tcpRmem[1], h.tcpRmem[2]),
		meaning: fmt.Sprintf("Receive buffer of a connection: least, at first, most. It takes memory only while data is in it, and "+
			"event loops empty it at once; the least, %d bytes, is granted even when memory is short.", h.tcpRmem[0]),
	}
}

// examineWmem judges by one client in a hundred that doesn't read and whose send buffer
// has grown to its most, or is full at -notsent-lowat before.
func (h host) examineWmem(cfg *Config, n int64) finding {
	const name = "net.ipv4.tcp_wmem"
	most := h.tcpWmem[2]
	if most < 0 {
		return unknown(name, "/proc/sys/net/ipv4/tcp_wmem")
	}
	held, up := min(most, 1<<40), "its most"
	if lowat := int64(cfg.Hub.Loops.NotSentLowat); lowat > 0 && lowat < held {
		held, up = lowat, formatSize(int(lowat))+" (-notsent-lowat)"
	}
	held *= max(n/100, 1)
	f := finding{
		verdict: fine, what: fmt.Sprintf("%s = %d %d %d", name, h.tcpWmem[0], h.tcpWmem[1], most),
		meaning: fmt.Sprintf("Send buffer of a connection: least, at first, most. It fills up to %s when a client doesn't read: "+
			"one in a hundred of %d could hold %s.", up, n, mebibytes(held)),
	}
	if usable := h.usable(); usable >= 0 && held > usable/4 {
		f.verdict, f.byNumber = warn, true
		f.meaning += " That is over a quarter of the memory; the server bounds it with less:"
		f.fix = []string{"busbar -notsent-lowat 16KiB"}
	}
	return f
}
