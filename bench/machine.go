package bench

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/busbar-ws/busbar/bench/report"
)

// Machine says where and when figures were taken.
type Machine struct {
	Date   time.Time `json:"date"`
	Kernel string    `json:"kernel"`
	CPU    string    `json:"cpu"`
	Cores  int       `json:"cores"`  // that are online
	Memory int64     `json:"memory"` // bytes
	Go     string    `json:"go"`
	Busbar string    `json:"busbar"` // version of this program, which is also Busbar's target
}

// String is one line for people.
func (m Machine) String() string {
	return fmt.Sprintf("%s, Linux %s, %d × %s, %.0f GiB, %s", m.Date.Format("2006-01-02 15:04 MST"), m.Kernel, m.Cores, m.CPU,
		float64(m.Memory)/(1<<30), m.Go)
}

// version is set by the build (scripts/bench).
var version string

// buildVersion is else what Go puts in by itself: a tag, or a commit and its time.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return ""
}

// ThisMachine describes the machine that the process runs on. What can't be found out is
// left empty.
func ThisMachine() Machine {
	m := Machine{Date: time.Now().UTC().Truncate(time.Second), Go: runtime.Version(), Busbar: buildVersion()}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	if info, err := readKilobytes("/proc/meminfo"); err == nil {
		m.Memory = info["MemTotal"]
	}
	cpuinfo, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(cpuinfo)) {
		name, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(name) {
		case "processor":
			m.Cores++
		case "model name":
			m.CPU = strings.TrimSpace(value)
		}
	}
	return m
}

// write puts the line before a table. A page has it elsewhere.
func (m Machine) write(w io.Writer) {
	if _, page := w.(*report.Parts); !page {
		fmt.Fprintln(w, m)
	}
}

// Facts are what a page says about where and when figures were taken.
func (m Machine) Facts() []report.Fact {
	return []report.Fact{
		{Name: "Date", Value: m.Date.Format("2006-01-02 15:04 MST")},
		{Name: "Kernel", Value: "Linux " + m.Kernel},
		{Name: "Processor", Value: fmt.Sprintf("%s, %d cores", m.CPU, m.Cores)},
		{Name: "Memory", Value: fmt.Sprintf("%.1f GiB", float64(m.Memory)/(1<<30))},
		{Name: "Go", Value: m.Go},
		{Name: "Busbar", Value: m.Busbar},
	}
}
