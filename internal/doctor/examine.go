package doctor

import (
	"fmt"
	"sort"
	"strings"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/internal/cli"
	"github.com/busbar-ws/busbar/internal/memory"
	"github.com/busbar-ws/busbar/subs"
)

// examine judges a host by n connections to a server.
func examine(h host, s *Server, n int64) []finding {
	need := h.neededFiles(s, n)
	// After a restart every client comes back within seconds; a tenth at once is what queues are judged by. Each loop has a
	// listener, and so queues, of its own.
	backlog := min(max(n/10/max(h.cores, 1), 1024), 65_535)
	atOnce := fmt.Sprintf(" There is one listener per event loop, and %d clients may come at once after a restart.", max(n/10, 1))
	findings := []finding{
		h.examineFiles(n, need),
		h.atLeast("fs.nr_open", need, "The most that RLIMIT_NOFILE can be raised to."),
		h.atLeast("fs.file-max", n+10_000, "Files and sockets that the whole host may have open."), // other processes have some too
		h.examineMemory(s, n), h.examineTCPMem(n), h.examineWmem(s, n),
		h.atLeast("net.core.somaxconn", backlog,
			"Connections that may wait to be accepted, per listener; beyond it a client tries again after a second."+atOnce),
		h.atLeast("net.ipv4.tcp_max_syn_backlog", backlog,
			"Handshakes that may be unfinished, per listener, when there are no SYN cookies."+atOnce),
	}
	if conntrack := "net.netfilter.nf_conntrack_max"; h.sysctl(conntrack, 0) >= 0 {
		findings = append(findings, h.atLeast(conntrack, n+n/4,
			"Connections that the firewall's table holds. When it is full, packets of new ones are dropped."))
	}
	return findings
}

// unknown is a figure that couldn't be read.
func unknown(what, where string) finding {
	return finding{verdict: warn, what: what + " unknown", meaning: "It could not be read from " + where + "."}
}

// setting is a fine one of so many numbers, or an unknown one, which is false.
func (h host) setting(name string, numbers int) (finding, bool) {
	what := name + " ="
	for i := range numbers {
		if h.sysctl(name, i) < 0 {
			return unknown(name, "/"+sysctlFile(name)), false
		}
		what += fmt.Sprint(" ", h.sysctl(name, i))
	}
	return finding{verdict: fine, what: what}, true
}

// tooFew makes f a warning that is for the number of connections.
func (f *finding) tooFew(meaning string, fix ...string) {
	f.verdict, f.byNumber, f.fix = warn, true, fix
	f.meaning += meaning
}

func sysctlFix(name string, values ...int64) string {
	value := strings.Trim(fmt.Sprint(values), "[]")
	if len(values) > 1 {
		value = `"` + value + `"`
	}
	return "sysctl -w " + name + "=" + value
}

func isSysctl(command string) bool { return strings.HasPrefix(command, "sysctl ") }

// atLeast judges a setting that has to reach need.
func (h host) atLeast(name string, need int64, meaning string) finding {
	f, ok := h.setting(name, 1)
	if !ok {
		return f
	}
	if f.meaning = meaning; h.sysctl(name, 0) < need {
		f.tooFew(fmt.Sprintf(" %d or more would do.", need), sysctlFix(name, need))
	}
	return f
}

// fewestFiles is what a server needs to start at all, about.
const fewestFiles = 64

func (h host) examineFiles(n, need int64) finding {
	f := finding{
		verdict: fine, what: fmt.Sprintf("RLIMIT_NOFILE hard %d", h.files),
		meaning: "A connection takes one descriptor, and a server keeps some for itself. It raises the soft limit to the hard one.",
	}
	if h.files < need {
		f.tooFew(fmt.Sprintf(" %d connections need %d. Under systemd the unit says so; in a shell, root does:", n, need),
			fmt.Sprintf("systemctl edit busbar   # [Service] LimitNOFILE=%d", need), fmt.Sprintf("ulimit -n %d", need))
		if h.files < fewestFiles {
			f.verdict = fail
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
	limit := ""
	if h.memory.Group >= 0 {
		limit = ", cgroup limit " + mebibytes(h.memory.Group)
	}
	f := finding{
		verdict: fine, what: fmt.Sprintf("memory: %s, %s of it available%s", mebibytes(h.memory.Total), mebibytes(h.memory.Available), limit),
		meaning: fmt.Sprintf("Room for %d connections, cautiously: of three quarters of the %s that can be used now, a busbar may take %s "+
			"when all is full (-buffer-memory %s, %s, %s %s, what is stored twice with -compression); a connection "+
			"takes %d bytes: %d of Busbar's, %d of the kernel's, and %d for data under way.",
			e.memory, mebibytes(h.usable()), mebibytes(kept), mebibytes(int64(s.Hub.Loops.Memory.BufferBytes)), rows,
			s.LogFlag, cli.FormatSize(s.LogBytes), each, busbarBytes, socketBytes, each-busbarBytes-socketBytes),
	}
	if e.memory < n {
		f.tooFew(fmt.Sprintf(" %d would need %s. Take a larger host, or smaller buffers:", n, mebibytes((n*each+kept)/3*4)), fix+s.LogFlag+" 16MiB")
	}
	return f
}

// examineTCPMem judges by one page each way for every connection, which is the least that data under way is charged with.
func (h host) examineTCPMem(n int64) finding {
	const name = "net.ipv4.tcp_mem"
	f, ok := h.setting(name, 3)
	if !ok {
		return f
	}
	pressure, need := h.sysctl(name, 1), 2*n
	f.meaning = fmt.Sprintf("Pages of %d bytes that all TCP buffers may take. An idle connection takes none, one with data under "+
		"way at least one each way: from %d such connections on the kernel keeps buffers small.", h.page, pressure/2)
	if pressure < need {
		f.tooFew(fmt.Sprintf(" %d would pass that.", n), sysctlFix(name, need*3/4, need, need*3/2))
	}
	return f
}

const (
	tcpRmem = "net.ipv4.tcp_rmem"
	tcpWmem = "net.ipv4.tcp_wmem"
)

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
	f.meaning = fmt.Sprintf("Send buffer of a connection: least, at first, most. It fills up to %s when a client doesn't read: "+
		"one in a hundred of %d could hold %s.", up, n, mebibytes(held))
	if usable := h.usable(); usable >= 0 && held > usable/4 {
		f.tooFew(" That is over a quarter of the memory; the server bounds it with less:", "busbar -notsent-lowat 16KiB")
	}
	return f
}

// What a connection costs, in bytes. Busbar's share is its budget for an idle one, rounded up. The kernel's is the
// tcp_sock, inode, dentry, file and epoll item of an idle socket: 4.0 KiB each on Linux 6.18, measured over 8,000 loopback
// connections by the growth of Slab.
const (
	busbarBytes = 1 * cli.KiB
	socketBytes = 4 * cli.KiB
)

// capacity is what the server says at its start when it may have so many descriptors on so many cores.
func (s *Server) capacity(cores, descriptors int64) (eventloop.Capacity, error) {
	limit := int(min(descriptors, 1<<30))
	o := s.Hub.Loops
	o.Accept.Reserve = s.Reserve(0, limit)
	if o.Loops == 0 {
		o.Loops = int(max(cores, 1))
	}
	o.Loops = min(o.Loops, subs.MaxLoops)
	return o.Capacity(limit)
}

// neededFiles is how many descriptors a server needs for so many connections.
func (h host) neededFiles(s *Server, connections int64) int64 {
	unlimited := *s
	unlimited.Hub.Loops.Accept.MaxConnections = 0
	room := func(more int) bool {
		c, err := unlimited.capacity(h.cores, connections+int64(more))
		return err == nil && int64(c.Connections) >= connections
	}
	// What is reserved is a part of all, and never more than some thousands.
	return connections + int64(sort.Search(int(connections)+10_000, room))
}

// connectionBytes is what a connection costs with data under way in both directions: the kernel grants each socket the
// first figure of tcp_rmem and tcp_wmem even when memory is short. By default that is 4 KiB (tcp(7)).
func (h host) connectionBytes() int64 {
	bytes := int64(busbarBytes + socketBytes)
	for _, name := range []string{tcpRmem, tcpWmem} {
		if least := h.sysctl(name, 0); least >= 0 {
			bytes += least
		} else {
			bytes += 4 * cli.KiB
		}
	}
	return bytes
}

// Kept is what buffers, rows and change log may take, in bytes, with the compressed forms of the latter two. Rows that are
// fetched aren't stored; those that are being fetched take their share.
func (s *Server) Kept() int64 {
	stored, fetched := int64(s.Hub.Rows.MaxBytes)+int64(s.LogBytes), int64(0)
	if s.RowsFetched {
		stored, fetched = int64(s.LogBytes), int64(memory.Defaults().Rows)
	}
	if s.Hub.Loops.Compression != eventloop.CompressOff {
		stored *= 2
	}
	return int64(s.Hub.Loops.Memory.BufferBytes) + stored + fetched
}

// estimated is how many connections a server can have on a host, and why not more.
type estimated struct {
	capacity eventloop.Capacity // as far as descriptors and flags go; none when there are too few
	memory   int64              // connections that there is memory for; -1 when unknown
}

func estimate(h host, s *Server) estimated {
	e := estimated{memory: -1}
	e.capacity, _ = s.capacity(h.cores, h.files) // that there are too few is said of RLIMIT_NOFILE
	if usable := h.usable(); usable >= 0 {       // of which a quarter is left to the rest of the host
		e.memory = max(usable/4*3-s.Kept(), 0) / h.connectionBytes()
	}
	return e
}

// connections is how many there can be; 0 when that is unknown.
func (e estimated) connections() int64 {
	n := int64(e.capacity.Connections)
	if e.memory >= 0 && (n == 0 || e.memory < n) {
		n = e.memory
	}
	return n
}

// sentence is what it comes to. asked is 0 when no number was named.
func (e estimated) sentence(asked int64) string {
	text := ""
	if e.capacity.Connections > 0 {
		text = fmt.Sprintf("A server here takes up to %d connections: limited by %s. ", e.capacity.Connections, e.capacity.LimitedBy)
	}
	if e.memory >= 0 {
		text += fmt.Sprintf("There is memory for about %d. ", e.memory)
	}
	switch n := e.connections(); {
	case asked > n:
		text += fmt.Sprintf("That is less than %d (-connections).", asked)
	case asked > 0:
		text += fmt.Sprintf("That is enough for %d (-connections).", asked)
	}
	return text
}
