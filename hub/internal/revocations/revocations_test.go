package revocations

import (
	"fmt"
	"testing"
	"time"
)

var someTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func want(t *testing.T, r *Log[string], user string, began time.Time, want int) {
	t.Helper()
	if got := r.Verdict(&user, began); got != want {
		t.Errorf("%s, looked up from %v on: %d, want %d", user, began.Sub(someTime), got, want)
	}
}

func TestRevocationsMatchLookupsBefore(t *testing.T) {
	var r Log[string]
	want(t, &r, "alice", someTime, Stands)
	r.Add(isUser("alice"), someTime)
	want(t, &r, "alice", someTime.Add(-1), Revoked)
	want(t, &r, "alice", someTime, Revoked)
	want(t, &r, "alice", someTime.Add(1), Stands)
	want(t, &r, "bob", someTime.Add(-1), Stands)
}

// However much is revoked, so much is remembered. Whatever was looked up before what has
// been forgotten is looked up again.
func TestRevocationsAreBounded(t *testing.T) {
	var r Log[string]
	for i := range 10 * Max {
		r.Add(isUser(fmt.Sprint(i)), someTime.Add(time.Duration(i)))
	}
	if n := len(r.items); n != Max {
		t.Errorf("%d are remembered", n)
	}
	const oldest = 9 * Max
	at := func(i int) time.Time { return someTime.Add(time.Duration(i)) }
	want(t, &r, fmt.Sprint(oldest), at(0), Revoked)
	want(t, &r, "0", at(0), Unknown)
	want(t, &r, "bob", at(oldest-1), Unknown)
	want(t, &r, "bob", at(oldest), Stands)
}

// A lookup may take longer than a minute.
func TestRevocationsAreForgottenInTime(t *testing.T) {
	var r Log[string]
	r.Add(isUser("alice"), someTime)
	r.Add(isUser("bob"), someTime.Add(2*kept))
	if n := len(r.items); n != 1 {
		t.Errorf("%d are remembered", n)
	}
	want(t, &r, "alice", someTime.Add(-1), Unknown)
	want(t, &r, "alice", someTime.Add(1), Stands)
}

// Of two that revoke at the same time, the one that looked at the clock first may come second.
// A lookup that began between the two looks is on its way for both.
func TestRevocationsAddedOutOfOrder(t *testing.T) {
	var r Log[string]
	r.Add(isUser("alice"), someTime.Add(2))
	r.Add(isUser("bob"), someTime)
	want(t, &r, "alice", someTime.Add(1), Revoked)
	want(t, &r, "bob", someTime, Revoked)
	want(t, &r, "alice", someTime.Add(3), Stands)
	want(t, &r, "bob", someTime.Add(3), Stands)
}

func isUser(name string) func(*string) bool { return func(id *string) bool { return *id == name } }
