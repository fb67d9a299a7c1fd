package admission

import (
	"math"
	"testing"
	"time"
)

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
		var k Lifetime
		k.add(time.Hour+time.Second/3, time.Hour+time.Second/3)
		end := k.Deadline(10*time.Second - time.Second/3)
		looks := 0
		for k.Seconds() < end {
			k.add(c.wall, c.monotonic)
			looks++
		}
		if looks != c.looks {
			t.Errorf("%s: over after %d looks, want %d", c.name, looks, c.looks)
		}
	}
	k := Lifetime{passed: time.Minute}
	if over, never := k.Deadline(-time.Hour), k.Deadline(math.MaxInt64); over > k.Seconds() || never != 0 {
		t.Errorf("what is over ends at %d of %d, what never ends at %d", over, k.Seconds(), never)
	}
}
