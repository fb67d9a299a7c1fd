package loadgen

import (
	"errors"
	"testing"

	"github.com/busbar-ws/busbar/bench/runner"
)

// rowsOf collects who has which row from each client's own view.
func rowsOf(t *testing.T, p *RowPlan) map[uint64][]uint32 {
	t.Helper()
	have := map[uint64][]uint32{}
	for client := range p.Clients {
		for block := range p.Rows {
			row, ok := p.row(client, block)
			if !ok {
				continue
			}
			if b, mine := p.mine(client, row); !mine || b != block {
				t.Fatalf("client %d has row %d in block %d, and then in %d: %v", client, row, block, b, mine)
			}
			have[row] = append(have[row], uint32(client))
		}
	}
	return have
}

func TestEveryRowHasItsSubscribers(t *testing.T) {
	for _, p := range []RowPlan{
		{Clients: 1, Rows: 1, Subscribers: 1},
		{Clients: 3, Rows: 7, Subscribers: 3},
		{Clients: 10, Rows: 4, Subscribers: 3}, // one is left over
		{Clients: 96, Rows: 20, Subscribers: 2},
		{Clients: 500, Rows: 10, Subscribers: 5},
	} {
		if err := p.Prepare(); err != nil {
			t.Fatal(err)
		}
		have := rowsOf(t, &p)
		if len(have) != int(p.Total()) {
			t.Errorf("%+v: %d rows have somebody, want %d", p, len(have), p.Total())
		}
		total := 0
		for row, clients := range have {
			total += len(clients)
			named := map[uint32]bool{}
			for _, c := range p.Members(row) {
				named[c] = true
			}
			if len(named) != p.Subscribers || len(clients) != p.Subscribers {
				t.Fatalf("%+v: row %d is to go to %v, and %v have it", p, row, named, clients)
			}
			for _, c := range clients {
				if !named[c] {
					t.Fatalf("%+v: client %d has row %d and isn't named", p, c, row)
				}
			}
		}
		if total != p.Subscriptions() {
			t.Errorf("%+v: %d subscriptions, counted %d", p, p.Subscriptions(), total)
		}
	}
}

// A client's messages have consecutive numbers for it, through more than one round of all
// rows, and a round goes to each row once.
func TestMessagesBeforeAreCounted(t *testing.T) {
	p := RowPlan{Clients: 31, Rows: 6, Subscribers: 3}
	if err := p.Prepare(); err != nil {
		t.Fatal(err)
	}
	had := make([]uint64, p.Clients)
	seen := map[uint64]int{}
	for seq := range 3*p.Total() + 5 {
		for client := range had {
			if got := p.before(client, seq); got != had[client] {
				t.Fatalf("client %d: %d messages before %d, want %d", client, got, seq, had[client])
			}
		}
		row := p.Target(seq)
		seen[row]++
		for _, c := range p.Members(row) {
			had[c]++
		}
		if seq == p.Total()-1 && len(seen) != int(p.Total()) {
			t.Fatalf("a round went to %d rows, want %d", len(seen), p.Total())
		}
	}
}

func TestPlansThatCantBe(t *testing.T) {
	for _, p := range []RowPlan{
		{Clients: 3, Rows: 0, Subscribers: 1}, {Clients: 3, Rows: 1, Subscribers: 0},
		{Clients: 3, Rows: 1, Subscribers: 4}, {Clients: 1 << 20, Rows: 1 << 10, Subscribers: 1},
	} {
		if err := p.Prepare(); !errors.Is(err, runner.ErrOptions) {
			t.Errorf("%+v: %v", p, err)
		}
	}
}
