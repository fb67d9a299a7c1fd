package runner

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
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

// buildVersion is what Go puts in by itself: a tag, or else the commit.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	set := map[string]string{}
	for _, s := range info.Settings {
		set[s.Key] = s.Value
	}
	commit := set["vcs.revision"]
	switch {
	case commit == "" || strings.HasPrefix(info.Main.Version, "v") && !strings.HasPrefix(info.Main.Version, "v0.0.0-"):
		return info.Main.Version
	case set["vcs.modified"] == "true":
		return commit[:min(len(commit), 12)] + ", changed"
	}
	return commit[:min(len(commit), 12)]
}

// ThisMachine describes the machine that the process runs on. What can't be found out is
// left empty.
func ThisMachine() Machine {
	m := Machine{Date: time.Now().UTC().Truncate(time.Second), Go: runtime.Version(), Busbar: buildVersion()}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return m
	}
	if info, err := fs.Meminfo(); err == nil && info.MemTotalBytes != nil {
		m.Memory = int64(*info.MemTotalBytes)
	}
	if cores, err := fs.CPUInfo(); err == nil && len(cores) > 0 {
		m.Cores, m.CPU = len(cores), cores[0].ModelName
	}
	return m
}

// Fact is a line of the circumstances of a run.
type Fact struct{ Name, Value string }

// Facts are what a page says about where and when figures were taken.
func (m Machine) Facts() []Fact {
	return []Fact{
		{Name: "Date", Value: m.Date.Format("2006-01-02 15:04 MST")},
		{Name: "Kernel", Value: "Linux " + m.Kernel},
		{Name: "Processor", Value: fmt.Sprintf("%s, %d cores", m.CPU, m.Cores)},
		{Name: "Memory", Value: fmt.Sprintf("%.1f GiB", float64(m.Memory)/(1<<30))},
		{Name: "Go", Value: m.Go},
		{Name: "Busbar", Value: m.Busbar},
	}
}
