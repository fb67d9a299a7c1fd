package hub

import (
	"fmt"
	"testing"
	"time"
)

var someTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func (r *revocations) want(t *testing.T, user string, began time.Time, want int) {
	t.Helper()
	if got := r.verdict(&Identity{UserID: user}, began); got != want {
		t.Errorf("%s, looked up from %v on: %d, want %d", user, began.Sub(someTime), got, want)
	}
}

func TestRevocationsMatchLookupsBefore(t *testing.T) {
	var r revocations
	r.want(t, "alice", someTime, stands)
	r.add(isUser("alice"), someTime)
	r.want(t, "alice", someTime.Add(-1), revoked)
	r.want(t, "alice", someTime, revoked)
	r.want(t, "alice", someTime.Add(1), stands)
	r.want(t, "bob", someTime.Add(-1), stands)
}

// However much is revoked, so much is remembered. Whatever was looked up before what has
// been forgotten is looked up again.
func TestRevocationsAreBounded(t *testing.T) {
	var r revocations
	for i := range 10 * maxRevocations {
		r.add(isUser(fmt.Sprint(i)), someTime.Add(time.Duration(i)))
	}
	if n := len(r.items); n != maxRevocations {
		t.Errorf("%d are remembered", n)
	}
	const oldest = 9 * maxRevocations
	at := func(i int) time.Time { return someTime.Add(time.Duration(i)) }
	r.want(t, fmt.Sprint(oldest), at(0), revoked)
	r.want(t, "0", at(0), unknown)
	r.want(t, "bob", at(oldest-1), unknown)
	r.want(t, "bob", at(oldest), stands)
}

// A lookup may take longer than a minute.
func TestRevocationsAreForgottenInTime(t *testing.T) {
	var r revocations
	r.add(isUser("alice"), someTime)
	r.add(isUser("bob"), someTime.Add(2*revocationsKept))
	if n := len(r.items); n != 1 {
		t.Errorf("%d are remembered", n)
	}
	r.want(t, "alice", someTime.Add(-1), unknown)
	r.want(t, "alice", someTime.Add(1), stands)
}

// Of two that revoke at the same time, the one that looked at the clock first may come second.
// A lookup that began between the two looks is on its way for both.
func TestRevocationsAddedOutOfOrder(t *testing.T) {
	var r revocations
	r.add(isUser("alice"), someTime.Add(2))
	r.add(isUser("bob"), someTime)
	r.want(t, "alice", someTime.Add(1), revoked)
	r.want(t, "bob", someTime, revoked)
	r.want(t, "alice", someTime.Add(3), stands)
	r.want(t, "bob", someTime.Add(3), stands)
}
