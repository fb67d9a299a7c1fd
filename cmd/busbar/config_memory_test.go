package main

import (
	"testing"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/internal/memory"
)

// What nobody has given fits into the memory, however little there is; what was given stays.
func TestSizesFitTheMemory(t *testing.T) {
	sized := func() (c Config) {
		newServeFlags(&c)
		c.sources = map[string]string{}
		return c
	}
	given := sized()
	given.Hub.Rows.MaxBytes, given.Hub.Loops.Memory.BufferBytes = 512*mib, 300*mib
	given.sources["rows-bytes"] = "-rows-bytes"
	given.fitMemory(memory.Share(256 * mib))
	if given.Hub.Rows.MaxBytes != 512*mib || given.Hub.Loops.Memory.BufferBytes != 300*mib || given.Log.Tail != 16*mib {
		t.Errorf("given sizes became %+v", given)
	}
	for limit := int64(16 * mib); limit < 1<<42; limit += limit/3 + 4321 {
		c := sized()
		c.fitMemory(memory.Share(limit))
		if c.Hub.Loops.Memory.BufferBytes != int(limit/4) {
			t.Errorf("%d: -buffer-memory is %d, not a quarter", limit, c.Hub.Loops.Memory.BufferBytes)
		}
		if err := c.validateSizes(); err != nil {
			t.Errorf("%d: %v", limit, err)
		}
		if err := c.validateBufferMemory(); err != nil {
			t.Errorf("%d: %v", limit, err)
		}
		c.Hub.Loops.Compression = eventloop.CompressOn
		if c.kept() > limit/4*3 {
			t.Errorf("%d: up to %d may be kept", limit, c.kept())
		}
	}
}

func TestErrorsOfBufferMemory(t *testing.T) {
	for _, test := range []badConfig{
		{args: "-queue-bytes 64MiB -buffer-memory 127MiB", want: `-buffer-memory: "127MiB" is less than twice -queue-bytes 64MiB, so that one queue alone could have clients ended`},
		{args: "-buffer-memory 1GiB -lag-bytes 600MiB", want: `-buffer-memory: "1GiB" is less than twice -lag-bytes 600MiB, so that one queue alone could have clients ended`},
		{args: "-buffer-memory lots", want: `-buffer-memory: "lots" isn't a size of at least 0, in bytes or with a unit, such as 64KiB`},
	} {
		test.check(t)
	}
}

// A start that fails names the flag that was given, and not one that follows from the memory.
func TestErrorsOfSizesThatDontFitTheMemory(t *testing.T) {
	for flag, want := range map[string]string{
		"lag-bytes":   `-lag-bytes: "64MiB" is more than 32MiB, half of -buffer-memory, which is a quarter of the memory by default`,
		"queue-bytes": `-queue-bytes: "64MiB" is more than 32MiB, half of -buffer-memory, which is a quarter of the memory by default`,
	} {
		c := Config{sources: map[string]string{flag: "-" + flag}}
		c.Hub.Loops.Memory.QueueBytes, c.Hub.Loops.Slow.LagBytes = mib, mib
		*map[string]*int{"lag-bytes": &c.Hub.Loops.Slow.LagBytes, "queue-bytes": &c.Hub.Loops.Memory.QueueBytes}[flag] = 64 * mib
		c.fitMemory(memory.Share(256 * mib))
		if err := c.validateBufferMemory(); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
