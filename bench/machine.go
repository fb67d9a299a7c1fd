package bench

import (
	"os"
	"runtime"
	"strings"
	"time"

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
}

// ThisMachine describes the machine that the process runs on. What can't be found out is
// left empty.
func ThisMachine() Machine {
	m := Machine{Date: time.Now().UTC().Truncate(time.Second), Go: runtime.Version()}
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
