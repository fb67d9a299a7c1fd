package eventloop

import (
	"testing"
	"time"
	"unsafe"
)

// A client is 128 bytes, which is a size class of the allocator: one byte more would cost
// each connection 16.
func TestClientSize(t *testing.T) {
	if got := unsafe.Sizeof(Client{}); got > 128 {
		t.Errorf("a Client takes %d bytes", got)
	}
}

func TestDeadline(t *testing.T) {
	for at, want := range map[time.Time]uint32{
		time.Unix(1_800_000_000, 0): 1_800_000_000,
		time.Unix(-5, 0):            1, // long over
		time.Unix(1<<40, 0):         0, // never
	} {
		if got := deadline(at); got != want {
			t.Errorf("deadline(%v) = %d, want %d", at, got, want)
		}
	}
}
