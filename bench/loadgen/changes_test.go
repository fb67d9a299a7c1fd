package loadgen

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// event is what a server makes of a change of the bench.
func event(seq, number uint64, at int64) string {
	body := string(AppendChange(nil, number, at, 20))
	_, rest, _ := strings.Cut(body, `,`)
	return fmt.Sprintf(`{"seq":%d,%s`, seq, rest)
}

// Each event counts once; one that doesn't follow the one before, that has a seq that others don't
// fit, or that says of a loss is a fault.
func TestChangesAreChecked(t *testing.T) {
	for name, test := range map[string]struct {
		texts []string
		want  Faults
	}{
		"in order":  {[]string{event(70, 0, 5), event(71, 1, 6), `{"type":"presence"}`}, Faults{}},
		"lost":      {[]string{event(70, 0, 5), event(72, 2, 6)}, Faults{Lost: 1}},
		"repeated":  {[]string{event(70, 0, 5), event(70, 0, 5)}, Faults{Repeated: 1}},
		"twice":     {[]string{event(70, 0, 5), event(72, 1, 5)}, Faults{Foreign: 1}},
		"late":      {[]string{event(71, 1, 5), event(70, 0, 5)}, Faults{Disordered: 1}},
		"of a loss": {[]string{event(70, 0, 5), `{"type":"resync","oldest_seq":1,"seq":70}`}, Faults{Foreign: 1}},
	} {
		s, err := newSwarm(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		m := &member{state: open, position: newPosition(0), began: 6}
		s.tally.clients, s.phase = 1, changes
		for _, text := range test.texts {
			if _, err := s.take(m, ws.MustCompileFrame(ws.NewTextFrame([]byte(text))), 10); err != nil {
				t.Fatal(err)
			}
		}
		if s.report.Faults != test.want {
			t.Errorf("%s: %v, want %v", name, s.report.Faults, test.want)
		}
		if name == "in order" && (s.cursor(m) != 71 || s.report.Measured != 1 || s.report.Deliveries != 2 || s.report.Texts != 1) {
			t.Errorf("cursor %d, %+v; the event from before the client isn't measured", s.cursor(m), s.report)
		}
	}
}
