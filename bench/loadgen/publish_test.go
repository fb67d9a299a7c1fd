package loadgen

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/bench/runner"
)

// publisherTo is a publisher to clients of whom done says how many messages they have; it is
// told how many were published, and how often it was asked.
func publisherTo(t *testing.T, done func(published, asked uint64) uint64) *Publisher {
	t.Helper()
	l, err := runner.ListenControl(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	control, err := runner.DialControl(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	there, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, there) }()
	t.Cleanup(func() { _ = control.Close(); _ = there.Close() })
	p := NewPublisher(control, &Load{changed: make(chan struct{}, 1)}, Size(32), time.Minute)
	asked := uint64(0)
	p.Done = func() uint64 {
		asked++
		return done(p.Next, asked)
	}
	return p
}

// Messages that are due while the target is behind are late, and not left out.
func TestRateLeavesNothingOut(t *testing.T) {
	p := publisherTo(t, func(published, _ uint64) uint64 { return published })
	const due = 50_000
	began := time.Now()
	if err := p.Rate(t.Context(), due*100_000, Limit{Duration: 10 * time.Microsecond}); err != nil {
		t.Fatal(err)
	}
	if p.Next != due {
		t.Errorf("%d messages were published within %v, %d were due within 10µs", p.Next, time.Since(began), due)
	}
	if n, latest := p.Late.TotalCount(), p.Late.Max(); n != due || latest < int64(10*time.Microsecond) {
		t.Errorf("%d were noted as %v late at most", n, time.Duration(latest))
	}
}

// What a target takes at half of the rate fails, and doesn't go on for ever.
func TestRateThatIsNotTaken(t *testing.T) {
	p := publisherTo(t, func(_, asked uint64) uint64 { return asked / 2 })
	p.stall = 50 * time.Millisecond
	err := p.Rate(t.Context(), 1e9, Limit{Duration: time.Hour})
	if !errors.Is(err, ErrRate) {
		t.Errorf("after %d messages: %v", p.Next, err)
	}
}
