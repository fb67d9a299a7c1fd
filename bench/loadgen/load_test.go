package loadgen

import (
	"testing"

	"github.com/busbar-ws/busbar/bench/runner"
)

func TestWorkersForDescriptors(t *testing.T) {
	for _, test := range []struct{ clients, limit, want int }{
		{1, 1064, 1}, {1000, 1064, 1}, {1001, 1064, 2}, {100_000, 20_000, 6},
	} {
		if got, err := workersFor(test.clients, test.limit); err != nil || got != test.want {
			t.Errorf("%d clients, %d descriptors: %d workers, %v; want %d", test.clients, test.limit, got, err, test.want)
		}
	}
	if _, err := workersFor(1, runner.ReservedDescriptors); err == nil {
		t.Error("no descriptor for clients, and no error")
	}
}

func TestSourceAddresses(t *testing.T) {
	p := connectPlan{Server: "127.0.0.1:1", Clients: 60_000, First: 10_000, Pace: 1}
	if err := p.prepare(); err != nil {
		t.Fatal(err)
	}
	for index, want := range map[int]byte{0: 1, 14_999: 1, 15_000: 2, 59_999: 3} {
		if got, ok := p.source(index); !ok || got != [4]byte{127, 0, 1, want} {
			t.Errorf("client %d: %v, %v", index, got, ok)
		}
	}
	p.Server = "192.0.2.1:1"
	if err := p.prepare(); err != nil {
		t.Fatal(err)
	}
	if _, ok := p.source(0); ok {
		t.Error("a server elsewhere is connected to from a loopback address")
	}
}
