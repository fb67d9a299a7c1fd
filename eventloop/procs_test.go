package eventloop

import (
	"runtime"
	"testing"
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
