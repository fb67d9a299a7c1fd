package eventloop

import (
	"os"
	"runtime"
	"runtime/debug"

	"github.com/busbar-ws/busbar/eventloop/internal/poll"
	"github.com/busbar-ws/busbar/internal/memory"
)

// spareProcs is how many more threads than loops Go may run at once.
const spareProcs = 3

// RaiseProcs raises GOMAXPROCS to three more than there will be loops, unless the
// environment sets it. It is for the program that starts an engine, before it does; loops
// is Options.Loops, and the number of loops is returned: GOMAXPROCS as it was when loops is 0.
//
// A loop that waits in epoll_wait keeps its P for 10 ms as long as another P is idle. When
// there is none, Go's monitor thread takes the P away at its next look, 20 µs later, and
// goes on looking at that pace, which with one loop on one core was a quarter of the CPU of
// a fan-out to 1,000 clients: 1.33 times that of a bare loop of send, and 1.14 times with
// three spare Ps (medians of three interleaved rounds).
func RaiseProcs(loops int) int {
	procs := runtime.GOMAXPROCS(0)
	if loops == 0 {
		loops = procs
	}
	if os.Getenv("GOMAXPROCS") == "" && procs < loops+spareProcs {
		runtime.GOMAXPROCS(loops + spareProcs)
	}
	return loops
}

// gcPercent is what SaveMemory sets GOGC to.
const gcPercent = 25

// SaveMemory has the garbage collector leave less room above what lives, and as little as it can
// when the heap nears three quarters of the memory (the host's, or the control group's limit), as
// far as GOGC and GOMEMLIMIT aren't set in the environment. Like RaiseProcs it is for the program,
// before it starts an engine.
//
// What lives here is mostly idle connections, which need no room. With 15,000 of them the
// process grew by 846 bytes for each at Go's default of 100, 785 at 50 and 664 at 25; a
// handshake took 16.3 µs of CPU at 100 and 19 µs at 25, a delivery the same.
func SaveMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memory.Defaults().Heap)
	}
}

// DescriptorLimit lifts the soft limit to the hard one and returns it.
func DescriptorLimit() (int, error) { return poll.DescriptorLimit() }
