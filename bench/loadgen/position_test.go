package loadgen

import "testing"

func TestPositionTellsWhatWentWrong(t *testing.T) {
	tests := []struct {
		name  string
		came  []uint64
		fresh int
		want  Faults
	}{
		{"in order", []uint64{0, 1, 2, 3}, 4, Faults{}},
		{"gap", []uint64{0, 3, 4}, 3, Faults{Lost: 2}},
		{"repeated at once", []uint64{0, 1, 1, 2}, 3, Faults{Repeated: 1}},
		{"repeated later", []uint64{0, 1, 2, 0}, 3, Faults{Repeated: 1}},
		{"swapped", []uint64{0, 2, 1, 3}, 4, Faults{Disordered: 1}},
		{"swapped and repeated", []uint64{0, 2, 1, 1, 3}, 4, Faults{Disordered: 1, Repeated: 1}},
		{"backwards", []uint64{3, 2, 1, 0}, 4, Faults{Disordered: 3}},
		{"far ahead", []uint64{0, 100, 99}, 3, Faults{Lost: 98, Disordered: 1}},
		{"too old to be known", []uint64{0, 100, 1}, 2, Faults{Lost: 99, Repeated: 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, faults, fresh := newPosition(0), Faults{}, 0
			for _, seq := range test.came {
				if p.take(seq, &faults) {
					fresh++
				}
			}
			if fresh != test.fresh || faults != test.want {
				t.Errorf("%d fresh, %v; want %d, %v", fresh, faults, test.fresh, test.want)
			}
		})
	}
}

func TestTallyFollowsTheSlowest(t *testing.T) {
	y := newTally()
	y.clients = 3
	y.pass(0, 5)
	y.pass(0, 2)
	if y.low != 0 {
		t.Errorf("all have %d messages, and one has none", y.low)
	}
	y.pass(0, 1)
	if y.low != 1 {
		t.Errorf("all have %d messages, want 1", y.low)
	}
	y.leave(1) // the slowest
	if y.low != 2 {
		t.Errorf("all that are left have %d messages, want 2", y.low)
	}
	y.pass(2, 5)
	if y.low != 5 || !y.room(5+MaxOutstanding-1) || y.room(5+MaxOutstanding) {
		t.Errorf("all have %d messages, want 5", y.low)
	}
	y.leave(5)
	for seq := uint64(5); seq < 3*MaxOutstanding; seq++ {
		y.pass(seq, seq+1)
	}
	if y.low != 3*MaxOutstanding {
		t.Errorf("the one that is left has %d messages, want %d", y.low, 3*MaxOutstanding)
	}
}
