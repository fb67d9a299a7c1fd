package bench

import (
	"errors"
	"testing"
)

// rowsOf collects who has which row from each client's own view.
func rowsOf(t *testing.T, p *rowPlan) map[uint64][]uint32 {
	t.Helper()
	have := map[uint64][]uint32{}
	for client := range p.Clients {
		for block := range p.Rows {
			row, ok := p.row(client, block)
			if !ok {
				continue
			}
			if b, mine := p.block(client, row); !mine || b != block {
				t.Fatalf("client %d has row %d in block %d, and then in %d: %v", client, row, block, b, mine)
			}
			have[row] = append(have[row], uint32(client))
		}
	}
	return have
}

func TestEveryRowHasItsSubscribers(t *testing.T) {
	for _, p := range []rowPlan{
		{Clients: 1, Rows: 1, Subscribers: 1},
		{Clients: 3, Rows: 7, Subscribers: 3},
		{Clients: 10, Rows: 4, Subscribers: 3}, // one is left over
		{Clients: 96, Rows: 20, Subscribers: 2},
		{Clients: 500, Rows: 10, Subscribers: 5},
	} {
		if err := p.prepare(); err != nil {
			t.Fatal(err)
		}
		have := rowsOf(t, &p)
		if len(have) != int(p.rows()) {
			t.Errorf("%+v: %d rows have somebody, want %d", p, len(have), p.rows())
		}
		total := 0
		for row, clients := range have {
			total += len(clients)
			named := map[uint32]bool{}
			for _, c := range p.subscribers(nil, row) {
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
		if total != p.subscriptions() {
			t.Errorf("%+v: %d subscriptions, counted %d", p, p.subscriptions(), total)
		}
	}
}

// A client's messages have consecutive numbers for it, through more than one round of all
// rows, and a round goes to each row once.
func TestMessagesBeforeAreCounted(t *testing.T) {
	p := rowPlan{Clients: 31, Rows: 6, Subscribers: 3}
	if err := p.prepare(); err != nil {
		t.Fatal(err)
	}
	had := make([]uint64, p.Clients)
	seen := map[uint64]int{}
	for seq := range 3*p.rows() + 5 {
		for client := range had {
			if got := p.before(client, seq); got != had[client] {
				t.Fatalf("client %d: %d messages before %d, want %d", client, got, seq, had[client])
			}
		}
		row := p.target(seq)
		seen[row]++
		for _, c := range p.subscribers(nil, row) {
			had[c]++
		}
		if seq == p.rows()-1 && len(seen) != int(p.rows()) {
			t.Fatalf("a round went to %d rows, want %d", len(seen), p.rows())
		}
	}
}

func TestPlansThatCantBe(t *testing.T) {
	for _, p := range []rowPlan{
		{Clients: 3, Rows: 0, Subscribers: 1}, {Clients: 3, Rows: 1, Subscribers: 0},
		{Clients: 3, Rows: 1, Subscribers: 4}, {Clients: 1 << 20, Rows: 1 << 10, Subscribers: 1},
	} {
		if err := p.prepare(); !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

func TestLoopsWanted(t *testing.T) {
	for _, test := range []struct {
		loops   []int
		clients int
		want    float64
	}{{[]int{9}, 3, 1}, {[]int{1, 1}, 2, 2}, {[]int{2, 2}, 2, 5.0 / 3}, {[]int{3, 0}, 3, 1}} {
		var loops []LoopCounts
		for _, clients := range test.loops {
			loops = append(loops, LoopCounts{Clients: clients})
		}
		if got := loopsWanted(loops, test.clients); got < test.want-1e-9 || got > test.want+1e-9 {
			t.Errorf("%d clients on loops with %v: %v, want %v", test.clients, test.loops, got, test.want)
		}
	}
}
