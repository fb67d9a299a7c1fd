package main

import "fmt"

func mebibytes(bytes int64) string { return fmt.Sprintf("%d MiB", bytes/mib) }

// examineMemory explains how the estimate of connections comes about.
func (h host) examineMemory(n int64) finding {
	e := estimate(h)
	if e.memory < 0 {
		return unknown("memory", "/proc/meminfo")
	}
	what := fmt.Sprintf("memory: %s, %s of it available", mebibytes(h.memory), mebibytes(h.available))
	f := finding{verdict: fine, what: what, meaning: fmt.Sprintf(
		"A busbar buffers at most %s for clients and from them by default (-buffer-memory). Room for %d connections, cautiously: of three quarters of the %s that can be used now, Busbar's buffers may take %s when everything is full "+
			"(-queue-bytes for each of %d loops, -log-bytes, -rows-bytes at their defaults); a connection takes %d bytes: %d of "+
			"Busbar's, %d of the kernel's, and %d for data under way.",
		mebibytes(int64(defaultBuffers(h))), e.memory, mebibytes(e.usable), mebibytes(queueBytes+loopQueueBytes*e.loops), e.loops,
		e.each, busbarBytes, socketBytes, e.each-busbarBytes-socketBytes)}
	if e.memory < n {
		f.verdict = warn
		f.meaning += fmt.Sprintf(" %d would need %s. Take a larger host, or smaller buffers:", n,
			mebibytes((n*e.each+queueBytes+loopQueueBytes*e.loops)/3*4))
		f.fix = []string{"busbar -queue-bytes 32MiB -log-bytes 16MiB -rows-bytes 32MiB"}
	}
	return f
}

func (h host) examineCgroup() finding {
	if h.cgroupMemory < 0 {
		return finding{verdict: fine, what: "cgroup memory limit: none", meaning: "The host's memory alone is the limit."}
	}
	f := finding{
		verdict: fine, what: "cgroup memory limit: " + mebibytes(h.cgroupMemory),
		meaning: "The kernel ends the server when it and its sockets' buffers need more. It is counted above.",
	}
	if need := int64(queueBytes) + loopQueueBytes*max(h.cores, 1); h.cgroupMemory < need {
		f.verdict = warn
		f.meaning += fmt.Sprintf(" Busbar's buffers alone may take %s.", mebibytes(need))
		f.fix = []string{fmt.Sprintf("systemctl set-property busbar.service MemoryMax=%dM", 2*need/mib)}
	}
	return f
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
		f.verdict = warn
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
// has grown to its most.
func (h host) examineWmem(n int64) finding {
	const name = "net.ipv4.tcp_wmem"
	most := h.tcpWmem[2]
	if most < 0 {
		return unknown(name, "/proc/sys/net/ipv4/tcp_wmem")
	}
	slow := max(n/100, 1)
	f := finding{
		verdict: fine, what: fmt.Sprintf("%s = %d %d %d", name, h.tcpWmem[0], h.tcpWmem[1], most),
		meaning: fmt.Sprintf("Send buffer of a connection: least, at first, most. It fills when a client doesn't read: one in a "+
			"hundred of %d could hold %s.", n, mebibytes(slow*min(most, 1<<40))),
	}
	if usable := h.usable(); usable >= 0 && slow*min(most, 1<<40) > usable/4 {
		f.verdict = warn
		f.meaning += " That is over a quarter of the memory. Let the server bound it, or the kernel:"
		f.fix = append([]string{"busbar -send-buffer 256KiB"},
			sysctlFix(name, fmt.Sprintf("%d %d 262144", h.tcpWmem[0], h.tcpWmem[1]))...)
	}
	return f
}
