package eventloop

import (
	"sync/atomic"
	"time"
)

// paceSlice is how much time's worth of connections a loop that has accepted its burst
// waits for before it accepts again. A pause costs two system calls and
// a timer, a few microseconds for what is usually tens of connections.
const paceSlice = 10 * time.Millisecond

// bucket says how many connections a loop may accept: rate a second, burst at once. It
// knows no clock. A rate of zero or less is no limit.
type bucket struct {
	rate, burst float64
	tokens      float64
	filled      time.Duration // when tokens were counted
}

func newBucket(rate, burst int) bucket {
	return bucket{rate: float64(rate), burst: float64(burst), tokens: float64(burst)}
}

// take takes one, and returns how long no other is to be taken. One that comes all the
// same is owed.
func (b *bucket) take(now time.Duration) (wait time.Duration) {
	if b.rate <= 0 {
		return 0
	}
	b.tokens = min(b.tokens+(now-b.filled).Seconds()*b.rate, b.burst) - 1
	b.filled = now
	if b.tokens >= 1 {
		return 0
	}
	again := max(1, min(b.burst, b.rate*paceSlice.Seconds()))
	return time.Duration((again - b.tokens) / b.rate * float64(time.Second))
}

// accepting is how a loop takes connections in.
type accepting struct {
	pause      atomic.Pointer[acceptPause] // nil: not known yet, or there is none
	pace       bucket
	timer      *time.Timer // ends a pause for the pace
	handshakes handshakes
	date       httpDate
}

// accepted is called for each connection that the loop has accepted, and pauses it
// when that was the last for now. The pause is ended by a timer, not by the tick, which
// would let a burst in ten times a second and nobody in between.
func (l *Loop) accepted() {
	l.engine.watchDescriptors()
	g := l.accepting.pause.Load()
	if g == nil || l.accepting.pace.rate <= 0 {
		return
	}
	wait := l.accepting.pace.take(time.Since(l.engine.started))
	if wait == 0 || !g.pause(pausePace) {
		return
	}
	if l.accepting.timer == nil {
		l.accepting.timer = time.AfterFunc(wait, func() { g.resume(pausePace) })
	} else {
		l.accepting.timer.Reset(wait)
	}
}
