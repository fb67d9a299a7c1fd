package bench

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// publisherTo is a publisher to clients of whom done says how many messages they have; it is
// told how many were published, and how often it was asked.
func publisherTo(t *testing.T, done func(published, asked uint64) uint64) *publisher {
	t.Helper()
	here, there := net.Pipe()
	go func() { _, _ = io.Copy(io.Discard, there) }()
	t.Cleanup(func() { _ = here.Close() })
	p := &publisher{
		control: &Control{conn: here}, load: &Load{changed: make(chan struct{}, 1)}, stall: time.Minute,
		progress: func(uint64) {}, late: newHistogram(),
	}
	asked := uint64(0)
	p.done = func() uint64 {
		asked++
		return done(p.next, asked)
	}
	p.add = func(uint64) []byte { return p.control.add(32) }
	return p
}

// Messages that are due while the target is behind are late, and not left out.
func TestRateLeavesNothingOut(t *testing.T) {
	p := publisherTo(t, func(published, _ uint64) uint64 { return published })
	const due = 50_000
	began := time.Now()
	if err := p.publishRate(t.Context(), due*100_000, limit{duration: 10 * time.Microsecond}); err != nil {
		t.Fatal(err)
	}
	if p.next != due {
		t.Errorf("%d messages were published within %v, %d were due within 10µs", p.next, time.Since(began), due)
	}
	if n, latest := p.late.TotalCount(), p.late.Max(); n != due || latest < int64(10*time.Microsecond) {
		t.Errorf("%d were noted as %v late at most", n, time.Duration(latest))
	}
}

// What a target takes at half of the rate fails, and doesn't go on for ever.
func TestRateThatIsNotTaken(t *testing.T) {
	p := publisherTo(t, func(_, asked uint64) uint64 { return asked / 2 })
	p.stall = 50 * time.Millisecond
	err := p.publishRate(t.Context(), 1e9, limit{duration: time.Hour})
	if !errors.Is(err, ErrRate) {
		t.Errorf("after %d messages: %v", p.next, err)
	}
}
