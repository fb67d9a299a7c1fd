package admission

import (
	"testing"
	"time"
)

func TestBucket(t *testing.T) {
	b := NewPacer(1000, 5)
	now := time.Hour // full for long
	for i := range 4 {
		if wait := b.take(now); wait != 0 {
			t.Fatalf("number %d has to wait %v", i, wait)
		}
	}
	// Five at once are back after 5 ms; there are none for 10 ms of 1,000/s in a burst of 5.
	if wait := b.take(now); wait != 5*time.Millisecond {
		t.Fatalf("the last one: %v", wait)
	}
	if wait := b.take(now); wait != 6*time.Millisecond { // came all the same
		t.Fatalf("one too many: %v", wait)
	}
	now += 6 * time.Millisecond
	for i := range 4 {
		if wait := b.take(now); wait != 0 {
			t.Fatalf("after the wait, number %d: %v", i, wait)
		}
	}
	if wait := b.take(now); wait == 0 {
		t.Error("more than a burst")
	}
}

// Over any time no more are let in than the burst and what the rate gives.
func TestBucketOverTime(t *testing.T) {
	for _, c := range []struct{ rate, burst int }{{3, 1}, {10, 10}, {500, 20}, {20000, 64}, {100, 1000}} {
		b := NewPacer(c.rate, c.burst)
		now, taken := time.Duration(0), 0
		const long = 20 * time.Second
		for now < long {
			taken++
			now += b.take(now)
			now += 10 * time.Microsecond
		}
		want := c.burst + c.rate*int(long/time.Second)
		if taken > want || taken < want*9/10 {
			t.Errorf("%d/s, %d at once: %d in %v, want about %d and no more", c.rate, c.burst, taken, long, want)
		}
	}
	off := NewPacer(-1, 1)
	for range 100 {
		if off.take(0) != 0 {
			t.Fatal("no limit, and a wait")
		}
	}
}

// It is for a loop that doesn't get done, and as soon as that does accepting goes on.
func TestPacerWaitsOnlyWhileLate(t *testing.T) {
	p := NewPacer(10, 1)
	if wait := p.Accepted(time.Hour); wait != 0 {
		t.Errorf("a loop that is idle waits %v", wait)
	}
	turn := func(began time.Duration, more bool) bool {
		if more {
			p.More()
		}
		return p.TurnOver(began)
	}
	const began = time.Hour
	if turn(began, true) || turn(began+lateAfter/2, true) {
		t.Error("accepting goes on though it was never stopped")
	}
	if wait := p.Accepted(began + lateAfter - 1); wait != 0 {
		t.Errorf("a loop that isn't late yet waits %v", wait)
	}
	if wait := p.Accepted(began + lateAfter); wait == 0 {
		t.Error("a loop that is late takes one after the other")
	}
	if turn(began+2*lateAfter, true) || !p.Late(began+2*lateAfter) {
		t.Error("accepting goes on though the loop is late still")
	}
	if !turn(began+3*lateAfter, false) || p.Late(began+time.Hour) {
		t.Error("the loop has got done, and accepting doesn't go on")
	}
	if turn(began+4*lateAfter, false) {
		t.Error("accepting goes on twice")
	}
}
