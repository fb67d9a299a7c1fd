package auth

import "time"

// moment is a reading of two clocks. What is remembered is forgotten by the monotonic one: a
// wall clock that is set back must not prolong it. When a session ends is wall-clock time, and
// is turned into a lasting when it is remembered.
type moment struct {
	wall time.Time
	mono time.Duration // since the process began
}

var began = time.Now()

func thisMoment() moment {
	now := time.Now()
	return moment{now, now.Sub(began)}
}

// Add is the moment at which so much more has passed on both clocks.
func (m moment) Add(d time.Duration) moment { return moment{m.wall.Add(d), m.mono + d} }
