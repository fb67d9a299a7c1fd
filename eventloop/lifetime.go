package eventloop

import (
	"math"
	"time"
)

// lifetime is the clock that identities expire by. It goes on with the wall clock or with the
// monotonic one, whichever has gone further since the last look: a wall clock that is set back
// prolongs nothing, and neither does a host that was asleep, where the monotonic one stands
// still. Owned by its loop, but for that it knows no clock itself.
type lifetime struct {
	passed time.Duration
	last   time.Time // of the last look, with both readings
}

// advance takes the time, which has a monotonic reading.
func (k *lifetime) advance(now time.Time) {
	k.add(now.Round(0).Sub(k.last.Round(0)), now.Sub(k.last)) // Round strips the monotonic reading
	k.last = now
}

func (k *lifetime) add(wall, monotonic time.Duration) { k.passed += max(wall, monotonic, 0) }

// seconds have passed, and one: 0 is no time.
func (k *lifetime) seconds() uint32 { return uint32(k.passed/time.Second) + 1 }

// deadline is what seconds will say when so much more has passed; 0, which is never, for what
// 32 bits can't hold.
func (k *lifetime) deadline(left time.Duration) uint32 {
	at := (k.passed + max(left, 0) + time.Second - 1) / time.Second
	if at >= math.MaxUint32 || at < 0 {
		return 0
	}
	return uint32(at) + 1
}

// ExpireAt says when Handler.Expired is to be called for the client. Zero: never.
func (c *Client) ExpireAt(t time.Time) {
	if c.deadline = 0; t.IsZero() {
		return
	}
	now := time.Now()
	c.loop.ticker.lifetime.advance(now)
	c.deadline = c.loop.ticker.lifetime.deadline(t.Sub(now.Round(0)))
}
