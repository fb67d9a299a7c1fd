package runner

import (
	"os"
	"slices"
	"testing"
	"time"
)

// This process' own clock goes on while it works, and at least as fast as its user time.
func TestProcessTimeOfThisProcess(t *testing.T) {
	m := NewMeter(os.Getpid(), nil)
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
	if err != nil || m.Resident < 1<<20 || m.Slab <= 0 {
		t.Errorf("%+v, %v", m, err)
	}
	if machine := ThisMachine(); machine.Cores < 1 || machine.Memory < m.Resident || machine.Kernel == "" {
		t.Errorf("%+v", machine)
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
