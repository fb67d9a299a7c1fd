package eventloop

import (
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/busbar-ws/busbar/internal/memory"
)

func TestRaiseProcs(t *testing.T) {
	before := runtime.GOMAXPROCS(2)
	defer runtime.GOMAXPROCS(before)
	t.Setenv("GOMAXPROCS", "2")
	if loops := RaiseProcs(0); loops != 2 || runtime.GOMAXPROCS(0) != 2 {
		t.Errorf("set by the environment: %d loops, GOMAXPROCS %d", loops, runtime.GOMAXPROCS(0))
	}
	t.Setenv("GOMAXPROCS", "")
	if loops := RaiseProcs(0); loops != 2 || runtime.GOMAXPROCS(0) != 2+spareProcs {
		t.Errorf("%d loops, GOMAXPROCS %d", loops, runtime.GOMAXPROCS(0))
	}
	if loops := RaiseProcs(1); loops != 1 || runtime.GOMAXPROCS(0) != 2+spareProcs {
		t.Errorf("%d loops, GOMAXPROCS %d: it is never lowered", loops, runtime.GOMAXPROCS(0))
	}
}

func TestSaveMemory(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
	t.Setenv("GOGC", "100")
	SaveMemory()
	if got := debug.SetGCPercent(100); got != 100 {
		t.Errorf("set by the environment, and now %d", got)
	}
	t.Setenv("GOGC", "")
	SaveMemory()
	if got := debug.SetGCPercent(100); got != gcPercent {
		t.Errorf("GOGC is %d", got)
	}
	if got := debug.SetMemoryLimit(-1); got != memory.Defaults().Heap {
		t.Errorf("the memory limit is %d, want %d", got, memory.Defaults().Heap)
	}
}
