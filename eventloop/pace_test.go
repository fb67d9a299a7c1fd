package eventloop

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/eventloop/internal/poll"
)

func TestBucket(t *testing.T) {
	b := newBucket(1000, 5)
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
		b := newBucket(c.rate, c.burst)
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
	off := newBucket(-1, 1)
	for range 100 {
		if off.take(0) != 0 {
			t.Fatal("no limit, and a wait")
		}
	}
}

// newcomers connect while their loop doesn't accept, and it accepts when they are let in.
func newcomers(t *testing.T, e *Engine, g *poll.AcceptPause, many int) (all []*peer, letIn func()) {
	const untilAllWait poll.PauseReason = 1 << poll.PauseReasons // none that the engine knows
	g.Pause(untilAllWait)
	for range many {
		p := connect(t, e)
		p.Say(request(""))
		all = append(all, p)
	}
	return all, func() { g.Resume(untilAllWait) }
}

// A loop that sends nothing accepts everybody at once.
func TestAcceptingIsFreeWhileNothingWaits(t *testing.T) {
	t.Parallel()
	e, g, _ := gated(t, &host{}, func(o *Options) { o.Accept.Rate, o.Accept.Burst = 1, 1 })
	all, letIn := newcomers(t, e, g, 40)
	letIn()
	for _, p := range all {
		p.Upgraded()
	}
	if n := e.Stats().AcceptPauses["pace"]; n != 0 {
		t.Errorf("accepting was paused %d times", n)
	}
}

// keepBusy has the loop drain again and again until the function that it returns is called.
func keepBusy(l *Loop) (stop func()) {
	var stopped atomic.Bool
	var again func(l *Loop)
	again = func(l *Loop) {
		if !stopped.Load() {
			l.post(task{run: again})
		}
	}
	l.post(task{run: again})
	return func() { stopped.Store(true) }
}

// A loop that doesn't get done accepts its burst at once and the rest at its rate, and
// everybody gets in. When it has got done it accepts freely again.
func TestAcceptingIsPaced(t *testing.T) {
	t.Parallel()
	const rate, burst, many = 40, 5, 45
	e, g, _ := gated(t, &host{}, func(o *Options) { o.Accept.Rate, o.Accept.Burst = rate, burst })
	l := e.loops[0]
	stop := keepBusy(l)
	defer stop()
	eventually(t, "the loop is late", func() (late bool) {
		everyLoop(t, e, func(l *Loop) { late = l.accepting.pace.late(time.Since(e.started)) })
		return late
	})
	all, letIn := newcomers(t, e, g, many)
	began := time.Now()
	letIn()
	for _, p := range all {
		p.Upgraded()
	}
	if least := time.Second * (many - burst - 1) / rate; time.Since(began) < least {
		t.Errorf("%d were let in within %v, less than %v", many, time.Since(began), least)
	}
	pauses := e.Stats().AcceptPauses["pace"]
	if pauses == 0 {
		t.Error("accepting was never paused")
	}
	stop()
	eventually(t, "the loop isn't late", func() (late bool) {
		everyLoop(t, e, func(l *Loop) { late = l.accepting.pace.late(time.Since(e.started)) })
		return !late
	})
	all, letIn = newcomers(t, e, g, many)
	letIn()
	for _, p := range all {
		p.Upgraded()
	}
	if n := e.Stats().AcceptPauses["pace"]; n != pauses {
		t.Errorf("accepting was paused %d times more", n-pauses)
	}
}
