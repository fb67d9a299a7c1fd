package eventloop

import "math"

// LeastBufferBytes is the least that BufferBytes may be: one loop's full mailbox, or one
// client that lags as far as it may, must not make the server short of memory.
func (o *Options) LeastBufferBytes() int {
	return 2 * min(max(o.Memory.QueueBytes, o.Slow.LagBytes), math.MaxInt/2)
}
