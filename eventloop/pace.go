package eventloop

import (
	"sync/atomic"
	"time"

	"github.com/busbar-ws/busbar/eventloop/internal/poll"
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
	pause      atomic.Pointer[poll.AcceptPause] // nil: not known yet, or there is none
	pace       pacer
	handshakes handshakes
	date       httpDate
}

// lateAfter is how long a loop may be at work without getting done before newcomers have to
// wait for those who are connected. Until then it accepts one connection each time that it
// looks at its sockets, which a message that is on its way meanwhile hardly notices.
const lateAfter = 5 * time.Millisecond

// pacer has a loop accept freely while it gets done with what it has to send, and at the
// bucket's rate while it doesn't. Owned by the loop.
type pacer struct {
	bucket
	more   bool          // the drain that runs has asked for another one
	since  time.Duration // when the drain began that was the first of those that didn't get done; 0: the last one did
	paused bool          // by the bucket; the timer may have ended that
	timer  *time.Timer
}

func (p *pacer) late(now time.Duration) bool { return p.since != 0 && now-p.since >= lateAfter }

// drained is called when a drain that began then is over.
func (l *Loop) drained(began time.Duration) {
	p := &l.accepting.pace
	if p.more {
		if p.more = false; p.since == 0 {
			p.since = began
		}
		return
	}
	if p.since = 0; p.paused {
		p.paused = false
		p.timer.Stop()
		l.accepting.pause.Load().Resume(poll.PausePace)
	}
}

// accepted is called for each connection that the loop has accepted, and pauses that
// when the loop is late and this was the last for now. The pause is ended by a timer, not by
// the tick, which would let a burst in ten times a second and nobody in between.
func (l *Loop) accepted(now time.Duration) {
	l.engine.watchDescriptors()
	g, p := l.accepting.pause.Load(), &l.accepting.pace
	if g == nil || !p.late(now) {
		return
	}
	wait := p.take(now)
	if wait == 0 || !g.Pause(poll.PausePace) {
		return
	}
	p.paused = true
	if p.timer == nil {
		p.timer = time.AfterFunc(wait, func() { g.Resume(poll.PausePace) })
	} else {
		p.timer.Reset(wait)
	}
}
