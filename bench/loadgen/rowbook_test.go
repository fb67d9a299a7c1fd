package loadgen

import (
	"testing"

	"github.com/gobwas/ws"
)

// bookTest is a swarm with one client of a plan, which is sent frames.
type bookTest struct {
	*testing.T
	s      *swarm
	client int
}

func newBookTest(t *testing.T) *bookTest {
	s, err := newSwarm(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	const client, rows = 17, 4
	plan := RowPlan{Clients: 30, Rows: rows, Subscribers: 3}
	if err := plan.Prepare(); err != nil {
		t.Fatal(err)
	}
	s.members = []member{{state: open, position: newPosition(0), fd: -1}}
	s.tally.clients, s.sizes = 1, Mixture{{Size: RowHead + 64, Weight: 1}}
	s.rows, s.plan.first, s.answered = &plan, client, make([]uint64, 1)
	return &bookTest{t, s, client}
}

func (b *bookTest) send(payload []byte) {
	b.Helper()
	if _, err := b.s.take(&b.s.members[0], ws.MustCompileFrame(ws.NewBinaryFrame(payload)), 0); err != nil {
		b.Fatal(err)
	}
}

func (b *bookTest) update(seq uint64) []byte {
	payload := make([]byte, b.s.sizes.Of(0))
	appendRowHead(payload[:0], rowUpdate, b.s.rows.Target(seq))
	putStamp(payload[RowHead:], seq, 0)
	return payload
}

// mine are the first n messages that go to rows of the client.
func (b *bookTest) mine(n int) (seqs []uint64) {
	for seq := uint64(0); len(seqs) < n; seq++ {
		if _, ok := b.s.rows.mine(b.client, b.s.rows.Target(seq)); ok {
			seqs = append(seqs, seq)
		}
	}
	return seqs
}

func (b *bookTest) expect(what string, want Faults, deliveries uint64) {
	b.Helper()
	if b.s.report.Faults != want || b.s.report.Deliveries != deliveries || b.s.counted != deliveries {
		b.Errorf("%s: %v, %d deliveries; want %v, %d", what, b.s.report.Faults, b.s.report.Deliveries, want, deliveries)
	}
}

func TestFaultsInUpdatesOfRows(t *testing.T) {
	tests := []struct {
		name  string
		order []int // of the client's first messages
		want  Faults
		fresh uint64
	}{
		{"none", []int{0, 1, 2, 3, 4, 5}, Faults{}, 6},
		{"lost", []int{0, 1, 3, 4, 5}, Faults{Lost: 1}, 5},
		{"the last lost", []int{0, 1, 2, 3, 4}, Faults{Lost: 1}, 5},
		{"repeated", []int{0, 1, 1, 2, 3, 4, 5}, Faults{Repeated: 1}, 6},
		{"of the same row, out of order", []int{4, 1, 2, 3, 0, 5}, Faults{Disordered: 4}, 6},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBookTest(t)
			b.s.phase = ToRows
			mine := b.mine(6)
			for _, i := range test.order {
				b.send(b.update(mine[i]))
			}
			r, _, err := b.s.finish(mine[5] + 1)
			if err != nil {
				t.Fatal(err)
			}
			b.s.report = r
			b.expect(test.name, test.want, test.fresh)
		})
	}
}

func TestUpdatesThatAreNobodysBusinessAreForeign(t *testing.T) {
	b := newBookTest(t)
	b.s.phase = ToRows
	mine := b.mine(2)
	other := uint64(0)
	for other == mine[0] || other == mine[1] {
		other++
	}
	wrongRow, wrongName, short := b.update(mine[0]), b.update(mine[0]), b.update(mine[0])
	putStamp(wrongRow[RowHead:], mine[1], 0)
	wrongName[3] = 'X'
	snapshot := b.update(mine[0])
	snapshot[0] = rowSnapshot
	for i, payload := range [][]byte{b.update(other), wrongRow, wrongName, short[:len(short)-1], snapshot, {rowUpdate}, nil} {
		b.send(payload)
		b.expect("foreign", Faults{Foreign: uint64(i + 1)}, 0)
	}
}

func TestSnapshotsAnswerEachSubscriptionOnce(t *testing.T) {
	b := newBookTest(t)
	b.s.phase, b.s.unanswered = subscribing, 4
	for block := range 4 {
		row, _ := b.s.rows.row(b.client, block)
		b.send(appendRowHead(nil, rowSnapshot, row))
	}
	if b.s.unanswered != 0 || b.s.report.Faults.Any() || b.s.counted != 4 {
		t.Errorf("%d pending, %v, %d counted", b.s.unanswered, b.s.report.Faults, b.s.counted)
	}
	row, _ := b.s.rows.row(b.client, 0)
	b.send(appendRowHead(nil, rowSnapshot, row))
	other, _ := b.s.rows.row(b.client+1, 0)
	b.send(appendRowHead(nil, rowSnapshot, other))
	if want := (Faults{Repeated: 1, Foreign: 1}); b.s.report.Faults != want {
		t.Errorf("%v, want %v", b.s.report.Faults, want)
	}
}

func TestFaultsInMessagesToSomeClients(t *testing.T) {
	b := newBookTest(t)
	b.s.phase = ToClients
	for _, seq := range []uint64{3, 9, 9, 4, 12} {
		payload := make([]byte, b.s.sizes.Of(0))
		putStamp(payload, seq, 0)
		b.send(payload)
	}
	b.expect("to some", Faults{Repeated: 1, Disordered: 1}, 3)
	b.send(make([]byte, b.s.sizes.Of(0)-1))
	b.expect("short", Faults{Repeated: 1, Disordered: 1, Foreign: 1}, 3)
}
