package loadgen

import (
	"testing"

	"github.com/gobwas/ws"
)

// crowd is a swarm without sockets: one client that stays and has had so many messages, and
// one that has come.
func crowd(t *testing.T, had uint64) (s *swarm, stays, came *member) {
	t.Helper()
	s, err := newSwarm(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	s.sizes, s.tally.clients = Mixture{{64, 1}}, 1
	stays = &member{state: open, position: newPosition(0), fd: -1}
	came = &member{state: open, position: newPosition(0), fd: -1, role: transient | uncounted | unplaced}
	for seq := range had {
		give(t, s, stays, seq)
	}
	return s, stays, came
}

func give(t *testing.T, s *swarm, m *member, seqs ...uint64) {
	t.Helper()
	for _, seq := range seqs {
		payload := make([]byte, 64)
		putStamp(payload, seq, 0)
		if _, err := s.take(m, ws.MustCompileFrame(ws.NewBinaryFrame(payload)), 1); err != nil {
			t.Fatal(err)
		}
	}
}

func TestClientThatComesStartsAtItsFirstMessage(t *testing.T) {
	for _, test := range []struct {
		name string
		seqs []uint64
		want Faults
	}{
		{"with the others", []uint64{10, 11, 12}, Faults{}},
		{"behind the others", []uint64{7, 8, 9, 10}, Faults{}},
		{"ahead of the others", []uint64{14, 15}, Faults{}},
		{"gap", []uint64{10, 12}, Faults{Lost: 1}},
		{"gap while behind", []uint64{6, 8}, Faults{Lost: 1}},
		{"repeated", []uint64{10, 10}, Faults{Repeated: 1}},
		{"out of order", []uint64{10, 12, 11}, Faults{Disordered: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, _, came := crowd(t, 10)
			give(t, s, came, test.seqs...)
			if s.report.Faults != test.want || came.role.is(unplaced) {
				t.Errorf("%v; want %v", s.report.Faults, test.want)
			}
		})
	}
}

// What everyone has is told only when the one that came has it too, and not held up by it
// before it has caught up.
func TestClientThatComesIsWaitedForOnceItHasCaughtUp(t *testing.T) {
	s, stays, came := crowd(t, 10)
	give(t, s, came, 7)
	give(t, s, stays, 10)
	if s.tally.low != 11 {
		t.Errorf("all have %d messages while one catches up, want 11", s.tally.low)
	}
	give(t, s, came, 8, 9, 10)
	give(t, s, stays, 11)
	if s.tally.low != 11 {
		t.Errorf("all have %d messages, want 11: one has come and lacks the next", s.tally.low)
	}
	give(t, s, came, 11)
	if s.tally.low != 12 {
		t.Errorf("all have %d messages, want 12", s.tally.low)
	}
}

func TestWhatClientsLackAtTheEnd(t *testing.T) {
	_, stays, came := crowd(t, 10)
	gone := &member{state: ended, position: newPosition(4), role: stalled | uncounted}
	slow := &member{state: open, position: newPosition(4), role: stalled | uncounted}
	var r Report
	for _, m := range []*member{stays, came, gone, slow} {
		m.lack(12, &r)
	}
	if r.Lost != 2 || r.Churn.Silent != 1 || r.Stalled != (Stalled{Behind: 1, Lost: 8}) {
		t.Errorf("lost %d, %+v, %+v", r.Lost, r.Churn, r.Stalled)
	}
}

func TestStalledClientMayLoseMessagesAndMustNotHaveThemTwice(t *testing.T) {
	s, _, m := crowd(t, 10)
	m.role, m.position = stalled|uncounted, newPosition(2)
	give(t, s, m, 2, 7, 8, 8)
	notice := ws.MustCompileFrame(ws.NewTextFrame([]byte(`{"type":"resync","oldest_seq":1,"seq":9}`)))
	for range 2 {
		if _, err := s.take(m, notice, 0); err != nil {
			t.Fatal(err)
		}
	}
	want := Stalled{Told: 1, Gapped: 1, Lost: 4, Deliveries: 3}
	if s.report.Stalled != want || s.report.Faults != (Faults{Repeated: 1}) {
		t.Errorf("%+v, %v; want %+v", s.report.Stalled, s.report.Faults, want)
	}
}
