package eventloop

import "time"

// sliceTime is how long a loop goes on with what it owes its clients before whatever else it has to do
// gets its turn: reads, accepts, pings. It is the same for all that goes to many, however many they are.
const sliceTime = 20 * time.Millisecond

// arrivals is the share of a slice that there is while connections come. gnet accepts one
// for each time that it looks at the sockets (v2.9.8, eventloop.accept), which between
// whole slices would be a hundred a second or so while flushes follow one another.
const arrivals = 32

// A loop looks at the clock once in so many steps. A step is a message for one client put into its queue, a
// client sent to, or so many bytes sent: each takes microseconds at most.
const (
	stepsPerLook = 32
	bytesPerStep = 32 << 10
)

// slice is the loop's share of time.
type slice struct {
	sliceTime time.Duration // as the constant, less in tests
	looked    time.Time     // the clock, as of the last look at it
	sliceEnds time.Time
	steps     int // until the clock is looked at
	over      bool
}

// beginSlice is a slice from now on. One shorter than nothing is over before it has begun.
func (s *slice) beginSlice(now time.Time, d time.Duration) {
	s.looked, s.sliceEnds, s.steps, s.over = now, now.Add(d), stepsPerLook, d < 0
}

func (s *slice) spend(steps int) {
	if s.steps -= steps; s.steps <= 0 {
		s.steps = stepsPerLook
		s.looked = time.Now()
		s.over = s.over || !s.looked.Before(s.sliceEnds)
	}
}

// nextSlice is how long the turn that begins may take.
func (l *Loop) nextSlice() time.Duration {
	came := l.fanout.opened
	l.fanout.opened = 0
	if came > 0 {
		return l.fanout.sliceTime / arrivals
	}
	return l.fanout.sliceTime
}

// tooSoon is whether the flush that is due has to wait. It isn't made to when much has
// come: what waits here must not make a client look slow.
func (l *Loop) tooSoon() bool {
	if l.opts.FlushDelay == 0 || l.fanout.flushing {
		return false
	}
	wait := l.opts.FlushDelay - time.Since(l.fanout.began)
	if wait <= 0 || l.fanout.due == 0 || l.fanout.due > l.opts.Slow.LagBytes ||
		int(l.broadcasts.End()-l.fanout.flushed) > l.opts.Memory.QueueMessages/2 {
		l.mailbox.SetQuiet(false)
		return false
	}
	l.mailbox.SetQuiet(true)
	l.fanout.again.Reset(wait)
	return true
}

// flushBegins starts the time that the next flush is kept apart.
func (l *Loop) flushBegins() {
	if l.fanout.due == 0 || l.fanout.flushing {
		return
	}
	l.fanout.due = 0
	if l.opts.FlushDelay > 0 {
		l.fanout.began = time.Now()
	}
}
