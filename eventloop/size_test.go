package eventloop

import (
	"testing"
	"unsafe"
)

// A client is 128 bytes, which is a size class of the allocator: one byte more would cost
// each connection 16.
func TestClientSize(t *testing.T) {
	if got := unsafe.Sizeof(Client{}); got > 128 {
		t.Errorf("a Client takes %d bytes", got)
	}
}
