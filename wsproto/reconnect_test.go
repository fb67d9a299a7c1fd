package wsproto

import (
	"testing"
	"time"
)

// docs/protocol.md section 3: the reason of 1012.
func TestReconnectAfter(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "reconnect-after=0.0s", -time.Second: "reconnect-after=0.0s", 2420 * time.Millisecond: "reconnect-after=2.4s",
		75 * time.Second: "reconnect-after=75.0s", 48 * time.Hour: "reconnect-after=3600.0s",
	} {
		if got := ReconnectAfter(d); got != want || len(got) > 123 {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	for reason, want := range map[string]time.Duration{
		"reconnect-after=0s": 0, "reconnect-after=2.4s": 2400 * time.Millisecond, "reconnect-after=0.125s": 125 * time.Millisecond,
		"reconnect-after=999999999s": time.Hour,
	} {
		if got, ok := ParseReconnectAfter(reason); got != want || !ok {
			t.Errorf("%q: %v %v, want %v", reason, got, ok, want)
		}
	}
	for _, reason := range []string{
		"", "reconnect-after=s", "reconnect-after=2.4", "reconnect-after=.4s", "reconnect-after=2.s", "reconnect-after=-1s",
		"reconnect-after=1e3s", "reconnect-after=2.4444s", "reconnect-after=2.4s ", "Reconnect-after=2.4s", "reconnect-after=1.2.3s",
		"reconnect-after=1000000000s", "reconnect-after=+1s", "reconnect-after=NaNs",
	} {
		if got, ok := ParseReconnectAfter(reason); ok {
			t.Errorf("%q: read as %v", reason, got)
		}
	}
}
