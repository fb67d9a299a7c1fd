package admission

import (
	"math"
	"time"
)

// Lifetime is the clock that identities expire by. It goes on with the wall clock or with the
// monotonic one, whichever has gone further since the last look: a wall clock that is set back
// prolongs nothing, and neither does a host that was asleep, where the monotonic one stands
// still. Owned by its loop.
type Lifetime struct {
	passed time.Duration
	last   time.Time // of the last look, with both readings
}

// NewLifetime begins then. now, here and in Advance, has a monotonic reading.
func NewLifetime(now time.Time) Lifetime { return Lifetime{last: now} }

// Advance takes the time.
func (k *Lifetime) Advance(now time.Time) {
	k.add(now.Round(0).Sub(k.last.Round(0)), now.Sub(k.last)) // Round strips the monotonic reading
	k.last = now
}

func (k *Lifetime) add(wall, monotonic time.Duration) { k.passed += max(wall, monotonic, 0) }

// Seconds have passed, and one: 0 is no time.
func (k *Lifetime) Seconds() uint32 { return uint32(k.passed/time.Second) + 1 }

// Deadline is what Seconds will say when so much more has passed; 0, which is never, for what
// 32 bits can't hold.
func (k *Lifetime) Deadline(left time.Duration) uint32 {
	at := (k.passed + max(left, 0) + time.Second - 1) / time.Second
	if at >= math.MaxUint32 || at < 0 {
		return 0
	}
	return uint32(at) + 1
}
