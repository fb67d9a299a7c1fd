package eventloop

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/eventloop/internal/poll"
)

// newcomers connect while their loop doesn't accept, and it accepts when they are let in.
func newcomers(t *testing.T, e *Engine, g *poll.AcceptPause, many int) (all []*peer, letIn func()) {
	const untilAllWait poll.PauseReason = poll.PauseDescriptors << 1 // none that the engine knows
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
			l.post(entry{run: again})
		}
	}
	l.post(entry{run: again})
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
		everyLoop(t, e, func(l *Loop) { late = l.accepting.pace.Late(time.Since(e.started)) })
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
		everyLoop(t, e, func(l *Loop) { late = l.accepting.pace.Late(time.Since(e.started)) })
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
