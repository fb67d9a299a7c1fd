// Package revocations knows who was let go lately.
package revocations

import (
	"slices"
	"sync"
	"time"
)

// Log remembers what was revoked lately, for lookups that were on their way. Safe
// from any goroutine. It knows no clock.
//
// It is bounded in number and in time. Of what it has forgotten it knows the time: a lookup
// that began before that is worth nothing, and is done again.
type Log[Identity any] struct {
	mu        sync.Mutex
	items     []revocation[Identity] // in the order of their times
	forgotten time.Time              // of the newest that was let go of
}

type revocation[Identity any] struct {
	match func(*Identity) bool
	at    time.Time
}

const (
	kept = time.Minute
	Max  = 256 // one may stand for a thousand sessions, and hold as many pointers
)

// Add is for all that match, from now on.
func (r *Log[Identity]) Add(match func(*Identity) bool, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last := len(r.items) - 1; last >= 0 && now.Before(r.items[last].at) {
		now = r.items[last].at // of two that revoke at once the second may have looked at the clock first
	}
	n := 0
	for n < len(r.items) && (len(r.items)-n >= Max || now.Sub(r.items[n].at) > kept) {
		r.forgotten = r.items[n].at
		n++
	}
	r.items = append(slices.Delete(r.items, 0, n), revocation[Identity]{match, now})
}

// Answers of Verdict.
const (
	Stands  = iota
	Revoked // after its lookup began
	Unknown // whether it was isn't known any more
)

// Verdict says what an identity is worth whose lookup began then. What was looked up later
// knows of the revocation: the user may have signed in again.
func (r *Log[Identity]) Verdict(id *Identity, began time.Time) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(r.items) - 1; i >= 0 && !r.items[i].at.Before(began); i-- {
		if r.items[i].match(id) {
			return Revoked
		}
	}
	if !r.forgotten.Before(began) { // the zero time is before any
		return Unknown
	}
	return Stands
}
