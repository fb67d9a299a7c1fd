package eventloop

import (
	"math/rand/v2"
	"testing"
)

// A timeline never says what isn't so: whoever came in a tick came where it says, and an event in the ticks that it
// names, however much of it has become coarse.
func TestTimelineIsTrue(t *testing.T) {
	t.Parallel()
	line := timeline{start: 100}
	came := []uint32{} // by event above the start, its tick
	var arrivals []span
	event, now := uint64(100), uint32(0)
	for range 20 * maxSpans {
		now += rand.Uint32N(3)
		if rand.IntN(3) == 0 {
			arrivals = append(arrivals, span{from: now, event: event})
		}
		for range rand.Uint64N(3) {
			event++
			came = append(came, now)
		}
		line.note(now, event)
	}
	if len(line.spans) > maxSpans {
		t.Fatalf("%d spans", len(line.spans))
	}
	for _, a := range arrivals {
		if from, to := line.at(a.from); a.event < from || a.event > to {
			t.Fatalf("who came in tick %d came behind %d, and not from %d to %d", a.from, a.event, from, to)
		}
	}
	for i, tick := range came {
		if from, to, known := line.of(101 + uint64(i)); !known || tick < from || tick > to {
			t.Fatalf("event %d came in tick %d, and not from %d to %d (%v)", 101+i, tick, from, to, known)
		}
	}
	if from, to := line.at(now + 1); from != event || to != event {
		t.Errorf("who comes last comes behind %d to %d, not %d", from, to, event)
	}
	line.pass(now+5, event+50)
	if from, to := line.at(now + 5); from != event+50 || to != from {
		t.Errorf("who comes when nobody was there comes behind %d to %d, not %d", from, to, event+50)
	}
}
