package loadgen

import (
	"encoding/json"
	"testing"

	"github.com/gobwas/ws"
)

func TestRelaysAreJSONOfTheirSize(t *testing.T) {
	for _, size := range []int{MinRelay, 125, 126, 128, 1000} {
		b := relay(7, 0xABCD, 1<<40, size)
		if len(b) != size || !json.Valid(b) {
			t.Errorf("%d bytes of %q, want %d", len(b), b, size)
		}
		s := &swarm{relays: relayBook{order: RelayOrder{Senders: 8}}}
		if a, ok := s.readRelay(b); !ok || a != (message{seq: 7, number: 0xABCD, published: 1 << 40}) {
			t.Errorf("read: %+v, %v", a, ok)
		}
	}
}

func TestChosenAreSpreadEvenly(t *testing.T) {
	for _, some := range []int{0, 1, 7, 50, 100} {
		n := 0
		for client := range 100 {
			which, ok := chosen(client, some, 100)
			if ok && which != n {
				t.Errorf("%d of 100: client %d is number %d, want %d", some, client, which, n)
			}
			if ok {
				n++
			}
		}
		if n != some {
			t.Errorf("%d are chosen, want %d", n, some)
		}
	}
}

func TestFaultsInRelays(t *testing.T) {
	s, err := newSwarm(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	m := &member{state: open, position: newPosition(0), fd: -1}
	s.members = make([]member, 1)
	if err := s.readyToSend(RelayOrder{Clients: 4, Senders: 2, Size: 128}); err != nil {
		t.Fatal(err)
	}
	send := func(text []byte) {
		t.Helper()
		if _, err := s.take(m, ws.MustCompileFrame(ws.NewTextFrame(text)), 0); err != nil {
			t.Fatal(err)
		}
	}
	relay := func(sender, number uint32) []byte { return relay(sender, number, 0, 128) }
	for _, number := range []uint32{0, 1, 5, 5, 3, 6} { // 2 and 4 may be lost
		send(relay(1, number))
	}
	send(relay(0, 0))
	send(relay(2, 0)) // there is no such sender
	send([]byte(`{"type":"presence","event":"else"}`))
	if want := (Faults{Repeated: 1, Disordered: 1, Foreign: 2}); s.report.Faults != want || s.report.Deliveries != 5 {
		t.Errorf("%v, %d deliveries; want %v, 5", s.report.Faults, s.report.Deliveries, want)
	}
}
