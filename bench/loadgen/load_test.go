package loadgen

import (
	"net/netip"
	"testing"
)

func TestSourceAddresses(t *testing.T) {
	p := connectPlan{server: netip.MustParseAddrPort("127.0.0.1:1"), first: 10_000}
	for index, want := range map[int]byte{0: 1, 14_999: 1, 15_000: 2, 59_999: 3} {
		if got, ok := p.source(index); !ok || got != [4]byte{127, 0, 1, want} {
			t.Errorf("client %d: %v, %v", index, got, ok)
		}
	}
	p.server = netip.MustParseAddrPort("192.0.2.1:1")
	if _, ok := p.source(0); ok {
		t.Error("a server elsewhere is connected to from a loopback address")
	}
}

func TestServersThatCannotBeConnectedTo(t *testing.T) {
	for server, clients := range map[string]int{
		"localhost:1": 1, "127.0.0.1": 1, "[::1]:1": 1, "127.0.0.1:1": maxSources*clientsPerSource + 1,
	} {
		if address, err := serverAddress(server, clients); err == nil {
			t.Errorf("%d clients of %s: %v", clients, server, address)
		}
	}
}
