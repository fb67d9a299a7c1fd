package admission

import "time"

// paceSlice is how much time's worth of connections a loop that has accepted its burst
// waits for before it accepts again. A pause costs two system calls and
// a timer, a few microseconds for what is usually tens of connections.
const paceSlice = 10 * time.Millisecond

// lateAfter is how long a loop may be at work without getting done before newcomers have to
// wait for those who are connected. Until then it accepts one connection each time that it
// looks at its sockets, which a message that is on its way meanwhile hardly notices.
const lateAfter = 5 * time.Millisecond

// Pacer has a loop accept freely while it gets done with what it has to send, and at a rate, with
// bursts, while it doesn't. Owned by the loop. Times are since the loop began.
type Pacer struct {
	rate, burst float64       // a rate of zero or less is no limit
	tokens      float64       // of the burst, that are left
	filled      time.Duration // when they were counted

	more   bool          // the turn that runs has asked for another one
	since  time.Duration // when the turn began that was the first of those that didn't get done; 0: the last one did
	paused bool
}

// NewPacer takes the rate of connections a second, and how many may come at once.
func NewPacer(rate, burst int) Pacer {
	return Pacer{rate: float64(rate), burst: float64(burst), tokens: float64(burst)}
}

// Adjust changes the rate and the burst.
func (p *Pacer) Adjust(rate, burst int) {
	p.rate, p.burst = float64(rate), float64(burst)
	p.tokens = min(p.tokens, p.burst)
}

// More says that the turn that runs won't get done.
func (p *Pacer) More() { p.more = true }

// TurnOver is called at the end of a turn that began then. It is true when accepting, which Accepted
// may have stopped, is to go on.
func (p *Pacer) TurnOver(began time.Duration) (resume bool) {
	if p.more {
		if p.more = false; p.since == 0 {
			p.since = began
		}
		return false
	}
	resume = p.paused
	p.since, p.paused = 0, false
	return resume
}

// Late is whether newcomers have to wait.
func (p *Pacer) Late(now time.Duration) bool { return p.since != 0 && now-p.since >= lateAfter }

// Accepted is called for each connection that the loop has accepted, and returns for how long there
// is to be no other. One that comes all the same is owed.
func (p *Pacer) Accepted(now time.Duration) (wait time.Duration) {
	if !p.Late(now) {
		return 0
	}
	wait = p.take(now)
	p.paused = p.paused || wait > 0
	return wait
}

func (p *Pacer) take(now time.Duration) (wait time.Duration) {
	if p.rate <= 0 {
		return 0
	}
	p.tokens = min(p.tokens+(now-p.filled).Seconds()*p.rate, p.burst) - 1
	p.filled = now
	if p.tokens >= 1 {
		return 0
	}
	again := max(1, min(p.burst, p.rate*paceSlice.Seconds()))
	return time.Duration((again - p.tokens) / p.rate * float64(time.Second))
}
