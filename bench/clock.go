package bench

import (
	"time"

	"golang.org/x/sys/unix"
)

// reference ties Go's monotonic clock, which is read without a system call, to
// CLOCK_MONOTONIC, which all processes of a machine share.
type reference struct {
	at time.Time
	ns int64 // CLOCK_MONOTONIC at that time
}

var started = calibrate()

// calibrate reads both clocks a few times and keeps the pair that was read fastest: the
// error is at most half of the time that took, a fraction of a microsecond.
func calibrate() reference {
	best, fastest := reference{}, time.Duration(1<<62)
	for range 32 {
		var ts unix.Timespec
		before := time.Now()
		err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
		took := time.Since(before)
		if err == nil && took < fastest {
			fastest = took
			best = reference{at: before, ns: ts.Nano() - int64(took/2)}
		}
	}
	return best
}

// now is CLOCK_MONOTONIC in nanoseconds.
func now() int64 { return started.ns + int64(time.Since(started.at)) }

// sleepUntil waits for a time of now. It blocks its thread, which wakes when it should only
// after exactTimers.
func sleepUntil(ns int64) {
	ts := unix.NsecToTimespec(ns)
	for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil) == unix.EINTR {
	}
}

// exactTimers takes off the 50 µs that the kernel may delay what the calling thread sleeps
// (prctl(2), PR_SET_TIMERSLACK).
func exactTimers() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) }
