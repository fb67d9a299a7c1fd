package hub

import (
	"slices"
	"sync"
	"time"
)

// revocations remembers what was revoked lately, for lookups that were on their way. Safe
// from any goroutine. It knows no clock.
//
// It is bounded in number and in time. Of what it has forgotten it knows the time: a lookup
// that began before that is worth nothing, and is done again.
type revocations struct {
	mu        sync.Mutex
	items     []revocation // in the order of their times
	forgotten time.Time    // of the newest that was let go of
}

type revocation struct {
	match func(*Identity) bool
	at    time.Time
}

const (
	revocationsKept = time.Minute
	maxRevocations  = 256 // one may stand for a thousand sessions, and hold as many pointers
)

func (r *revocations) add(match func(*Identity) bool, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last := len(r.items) - 1; last >= 0 && now.Before(r.items[last].at) {
		now = r.items[last].at // of two that revoke at once the second may have looked at the clock first
	}
	n := 0
	for n < len(r.items) && (len(r.items)-n >= maxRevocations || now.Sub(r.items[n].at) > revocationsKept) {
		r.forgotten = r.items[n].at
		n++
	}
	r.items = append(slices.Delete(r.items, 0, n), revocation{match, now})
}

// Answers of revocations.verdict.
const (
	stands  = iota
	revoked // after its lookup began
	unknown // whether it was isn't known any more
)

// verdict says what an identity is worth whose lookup began then. What was looked up later
// knows of the revocation: the user may have signed in again.
func (r *revocations) verdict(id *Identity, began time.Time) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(r.items) - 1; i >= 0 && !r.items[i].at.Before(began); i-- {
		if r.items[i].match(id) {
			return revoked
		}
	}
	if !r.forgotten.Before(began) { // the zero time is before any
		return unknown
	}
	return stands
}
