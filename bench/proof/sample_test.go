package proof

import (
	"maps"
	"math"
	"strings"
	"testing"
)

func TestWhatIsLeftBehind(t *testing.T) {
	start := Sample{"resident": 40, "goroutines": 20, "sockets": 8, "files": 23, "threads": 15}
	if left := leftBehind(start, start); len(left) > 0 {
		t.Errorf("nothing has changed: %q", left)
	}
	for _, f := range figures {
		now := maps.Clone(start)
		now[f.name] += f.more + 1
		left := leftBehind(now, start)
		if f.judged == never {
			if len(left) > 0 {
				t.Errorf("%s: %q", f.name, left)
			}
		} else if len(left) != 1 || !strings.HasPrefix(left[0], f.name) {
			t.Errorf("%s: %q", f.name, left)
		}
	}
}

// A figure that rises under an even load is found, one that goes up and down isn't.
func TestWhatGrows(t *testing.T) {
	run := func(resident func(second float64) float64) *Run {
		r := &Run{}
		for s := 0.0; s <= 3600; s += 5 {
			r.Samples = append(r.Samples, Sample{"seconds": s, "resident": resident(s), "goroutines": 30})
		}
		r.Figures = figuresOf(r.Samples[0], r.Samples[0], r.Samples)
		return r
	}
	leak := run(func(s float64) float64 { return 50 + s*0.02 })
	if names := growing(leak); len(names) != 1 || !strings.HasPrefix(names[0], "resident grows") {
		t.Errorf("a leak of 20 KiB a second: %q", names)
	}
	if slope := leak.Figures[0].PerHour; math.Abs(slope-3600*0.02) > 1e-6 {
		t.Errorf("%g MiB an hour, want %g", slope, 3600*0.02)
	}
	if names := growing(run(func(s float64) float64 { return 60 + 10*math.Sin(s/20) })); len(names) > 0 {
		t.Errorf("up and down: %q", names)
	}
	if names := growing(run(func(s float64) float64 { return min(20+s*0.1, 60) })); len(names) > 0 {
		t.Errorf("filling its bounds at first: %q", names)
	}
}
