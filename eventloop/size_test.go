package eventloop

import (
	"math"
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

// docs/protocol.md section 1: whichever clock has gone further counts, and a time that can't be told is never.
func TestLifetime(t *testing.T) {
	for _, c := range []struct {
		name            string
		wall, monotonic time.Duration // how far they go at a time
		looks           int           // until ten seconds are over
	}{
		{"both go", time.Second, time.Second, 10},
		{"the wall clock is set back", -time.Hour, time.Second, 10},
		{"the wall clock is slow", time.Second / 2, time.Second, 10},
		{"the wall clock is set forward", 10 * time.Second, time.Second, 1},
		{"the host was asleep", 5 * time.Second, 0, 2},
	} {
		var k lifetime
		k.add(time.Hour+time.Second/3, time.Hour+time.Second/3)
		end := k.deadline(10*time.Second - time.Second/3)
		looks := 0
		for k.seconds() < end {
			k.add(c.wall, c.monotonic)
			looks++
		}
		if looks != c.looks {
			t.Errorf("%s: over after %d looks, want %d", c.name, looks, c.looks)
		}
	}
	k := lifetime{passed: time.Minute}
	if over, never := k.deadline(-time.Hour), k.deadline(math.MaxInt64); over > k.seconds() || never != 0 {
		t.Errorf("what is over ends at %d of %d, what never ends at %d", over, k.seconds(), never)
	}
}
