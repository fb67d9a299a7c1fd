package auth

import (
	"testing"
	"time"
)

// What an answer says of how long it is good for shortens the time between two fetches, and
// doesn't make it longer.
func TestLifetimeOfAKeySet(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"":                              5 * time.Minute,
		"max-age=60":                    time.Minute,
		`public, MAX-AGE="90"`:          90 * time.Second,
		"max-age=1":                     30 * time.Second,
		"max-age=86400":                 5 * time.Minute,
		"no-store, max-age=0":           5 * time.Minute,
		"no-cache":                      5 * time.Minute,
		"max-age=-1":                    5 * time.Minute,
		"max-age=99999999999999999999":  5 * time.Minute,
		"s-maxage=60, must-revalidate":  5 * time.Minute,
		"private,, max-age = 60 , x=\"": 5 * time.Minute,
	} {
		if got := refreshAfter([]string{header}, 5*time.Minute); got != want {
			t.Errorf("%s: %v, want %v", header, got, want)
		}
	}
	if got := refreshAfter([]string{"max-age=60"}, time.Second); got != time.Second {
		t.Errorf("%v, beyond what was asked for", got)
	}
}
