package runner

import (
	"fmt"
	"runtime"
	"runtime/debug"
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

// ThisMachine describes the machine that the process runs on. What can't be found out is
// left empty.
func ThisMachine() Machine {
	m := Machine{Date: time.Now().UTC().Truncate(time.Second), Go: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		m.Busbar = info.Main.Version
	}
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
