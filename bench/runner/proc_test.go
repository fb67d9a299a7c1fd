package runner

import (
	"os"
	"slices"
	"testing"
	"time"
)

func TestProcessStat(t *testing.T) {
	line := "12 (a) b ((c) S 1 12 12 0 -1 4194560 100 0 0 0 250 75 0 0 20 0 1 0 100 1000 10"
	user, system, err := parseProcessStat([]byte(line))
	if err != nil || user != int64(2500*time.Millisecond) || system != int64(750*time.Millisecond) {
		t.Errorf("user %d, system %d, %v", user, system, err)
	}
	if _, _, err := parseProcessStat([]byte("12 (x) S 1")); err == nil {
		t.Error("half a line was taken")
	}
}

func TestMachineStat(t *testing.T) {
	const stat = "cpu  10 20 30 999 5 1 44 3 0 0\ncpu0 4 0 0 0 0 0 40 0 0 0\ncpu1 6 0 0 0 0 0 4 0 0 0\nintr 5\n"
	for _, test := range []struct {
		cores   []int
		softirq int64
	}{{nil, 44}, {[]int{0}, 40}, {[]int{1}, 4}, {[]int{0, 1}, 44}} {
		softirq, busy, err := parseStat([]byte(stat), test.cores)
		if err != nil || softirq != test.softirq*tickNs || busy != 105*tickNs {
			t.Errorf("cores %v: softirq %d, busy %d, %v", test.cores, softirq, busy, err)
		}
	}
}

// This process' own clock goes on while it works, and at least as fast as its user time.
func TestProcessTimeOfThisProcess(t *testing.T) {
	m := NewMeter(os.Getpid(), nil, nil)
	before, err := m.Read()
	if err != nil {
		t.Fatal(err)
	}
	after := before
	for after.Process-before.Process < int64(5*time.Millisecond) {
		if after, err = m.Read(); err != nil {
			t.Fatal(err)
		}
	}
	if d := after.Minus(before); d.Process <= 0 || d.Server() < d.Process || d.Load <= 0 {
		t.Errorf("%+v", d)
	}
}

func TestMemoryOfThisProcess(t *testing.T) {
	m, err := ReadMemory(os.Getpid())
	if err != nil || m.Resident < 1<<20 || m.Source == "" || m.Slab <= 0 {
		t.Errorf("%+v, %v", m, err)
	}
	if pages := parseSockstat("sockets: used 9\nTCP: inuse 5 orphan 0 tw 0 alloc 6 mem 7\nUDP: inuse 1 mem 3\n"); pages != 7 {
		t.Errorf("%d pages, want 7", pages)
	}
}

func TestCoreLists(t *testing.T) {
	for list, want := range map[string]CoreList{"none": nil, "0": {0}, "0,0-0": {0, 0}} {
		var c CoreList
		if err := c.Set(list); err != nil || !slices.Equal(c, want) {
			t.Errorf("%q: %v, %v", list, c, err)
		}
	}
	for _, list := range []string{"", "x", "-1", "3-2", "1-", "0-99999", "0,1023"} {
		var c CoreList
		if err := c.Set(list); err == nil {
			t.Errorf("%q: %v", list, c)
		}
	}
}
