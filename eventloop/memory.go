package eventloop

import (
	"math"

	"golang.org/x/sys/unix"
)

// LeastBufferBytes is the least that BufferBytes may be: one loop's full mailbox, or one
// client that lags as far as it may, must not make the server short of memory.
func (o *Options) LeastBufferBytes() int {
	return 2 * min(max(o.QueueBytes, o.LagBytes), math.MaxInt/2)
}

// hostMemory is the host's memory in bytes, 0 when it can't be told.
func hostMemory() int {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	return int(uint64(info.Totalram) * uint64(info.Unit))
}
