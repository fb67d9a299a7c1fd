//go:build !race

package wsproto

import (
	"math/rand/v2"
	"testing"

	"github.com/gobwas/ws"
)

// A frame costs the bytes that it is kept in.
func TestDeflateFrameAllocatesOnce(t *testing.T) {
	payload := changeEvent(rand.New(rand.NewPCG(3, 3)), 4096)
	if allocs := testing.AllocsPerRun(200, func() { DeflateFrame(ws.OpText, payload) }); allocs >= 2 {
		t.Errorf("%v allocations", allocs)
	}
}

// A message that is inflated costs nothing but time.
func TestInflateDoesNotAllocate(t *testing.T) {
	for _, size := range []int{100, 4000, 60_000} {
		frame := packedFrame(true, ws.OpText, pack(t, string(changeEvent(rand.New(rand.NewPCG(3, 4)), size))))
		p := make([]byte, len(frame))
		if allocs := testing.AllocsPerRun(200, func() {
			var d Decoder
			d.AllowDeflate(64 << 10)
			copy(p, frame)
			if _, _, ok, err := d.Decode(p, 64<<10); !ok || err != nil {
				t.Fatal(ok, err)
			}
			d.Release()
		}); allocs >= 1 {
			t.Errorf("%d bytes: %v allocations", size, allocs)
		}
	}
}
