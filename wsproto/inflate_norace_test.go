//go:build !race

package wsproto

import (
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// A bomb costs what the limit allows and no more, and what it needed is used again.
func TestBombCostsNoMoreThanTheLimit(t *testing.T) {
	const limit, rounds = 64 << 10, 200
	bomb := packedFrame(true, ws.OpBinary, pack(t, strings.Repeat("\x00", 32<<20)))
	p := make([]byte, len(bomb))
	decode := func() {
		var d Decoder
		d.AllowDeflate(limit)
		copy(p, bomb)
		if _, _, _, err := d.Decode(p, limit); err != errTooBig {
			t.Fatal(err)
		}
		d.Release()
	}
	if len(bomb) > packedLimit(limit) {
		t.Fatalf("%d bytes: the frame is refused for its own length", len(bomb))
	}
	decode()
	if each := allocatedBy(func() {
		for range rounds {
			decode()
		}
	}) / rounds; each > 2*limit {
		t.Errorf("%d bytes allocated for each bomb", each)
	}
}
