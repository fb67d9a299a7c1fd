package loadgen

import "testing"

func TestSourceAddresses(t *testing.T) {
	p := connectPlan{Options: Options{Clients: 60_000, Pace: 1}, server: "127.0.0.1:1", first: 10_000}
	if err := p.prepare(); err != nil {
		t.Fatal(err)
	}
	for index, want := range map[int]byte{0: 1, 14_999: 1, 15_000: 2, 59_999: 3} {
		if got, ok := p.source(index); !ok || got != [4]byte{127, 0, 1, want} {
			t.Errorf("client %d: %v, %v", index, got, ok)
		}
	}
	p.server = "192.0.2.1:1"
	if err := p.prepare(); err != nil {
		t.Fatal(err)
	}
	if _, ok := p.source(0); ok {
		t.Error("a server elsewhere is connected to from a loopback address")
	}
}
