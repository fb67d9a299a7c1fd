package proof

import (
	"math"
	"strings"
	"testing"
)

func TestWhatIsLeftBehind(t *testing.T) {
	start := Sample{Resident: 40 << 20, Goroutines: 20, Sockets: 8, Files: 23, Threads: 15}
	if left := leftBehind(start, &start); len(left) > 0 {
		t.Errorf("nothing has changed: %q", left)
	}
	for want, change := range map[string]func(*Sample){
		"resident":        func(s *Sample) { s.Resident += moreResident + 1 },
		"goroutines":      func(s *Sample) { s.Goroutines += moreGoroutines + 1 },
		"sockets":         func(s *Sample) { s.Sockets++ },
		"files":           func(s *Sample) { s.Files += moreFiles + 1 },
		"connections":     func(s *Sample) { s.Connections = 1 },
		"clients":         func(s *Sample) { s.Clients = 1 },
		"lagging":         func(s *Sample) { s.Lagging = 1 },
		"subscriptions":   func(s *Sample) { s.Subscriptions = 1 },
		"queued messages": func(s *Sample) { s.QueueFrames = 1 },
		"queued bytes":    func(s *Sample) { s.QueueBytes = 1 },
		"panics":          func(s *Sample) { s.Panics = 1 },
		"dropped":         func(s *Sample) { s.Dropped = 1 },
	} {
		now := start
		change(&now)
		if left := leftBehind(now, &start); len(left) != 1 || !strings.Contains(left[0], want) {
			t.Errorf("%s: %q", want, left)
		}
	}
}

// A figure that rises under an even load is found, one that goes up and down isn't.
func TestWhatGrows(t *testing.T) {
	run := func(resident func(second float64) float64) *SoakRun {
		r := &SoakRun{}
		for s := 0.0; s <= 3600; s += 5 {
			r.Samples = append(r.Samples, Sample{Seconds: s, Resident: resident(s), Goroutines: 30})
		}
		r.Trends = trends(r)
		return r
	}
	leak := run(func(s float64) float64 { return 50<<20 + s*20*1024 })
	if names := growing(leak); len(names) != 1 || !strings.HasPrefix(names[0], "resident grows") {
		t.Errorf("a leak of 20 KiB a second: %q", names)
	}
	if slope := leak.Trends[0].PerHour; math.Abs(slope-3600*20*1024) > 1 {
		t.Errorf("%g bytes an hour, want %d", slope, 3600*20*1024)
	}
	if names := growing(run(func(s float64) float64 { return 60<<20 + (10<<20)*math.Sin(s/20) })); len(names) > 0 {
		t.Errorf("up and down: %q", names)
	}
	warm := run(func(s float64) float64 { return min(20<<20+s*100*1024, 60<<20) })
	if names := growing(warm); len(names) > 0 {
		t.Errorf("filling its bounds at first: %q", names)
	}
}
