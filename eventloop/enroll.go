package eventloop

import (
	"sync"

	"github.com/panjf2000/gnet/v2/pkg/pool/goroutine"
)

// enrolling counts who hands gnet a connection. gnet does that on a pool of goroutines of its own, which looks
// at the clock twice a second for as long as it is open (ants v2.12.1, poolCommon.ticktock), and that wakes a
// server that has nothing to do. So it is open while somebody needs it.
var enrolling struct {
	mu    sync.Mutex
	users int
}

// openPool is called before gnet is handed a connection, off the loops, and shutPool when it has it.
func openPool() {
	enrolling.mu.Lock()
	defer enrolling.mu.Unlock()
	if enrolling.users++; enrolling.users == 1 {
		goroutine.DefaultWorkerPool.Reboot() // waits for those of the last time
	}
}

func shutPool() {
	enrolling.mu.Lock()
	defer enrolling.mu.Unlock()
	if enrolling.users--; enrolling.users == 0 {
		goroutine.DefaultWorkerPool.Release()
	}
}
