//go:build !race

package eventloop

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop/internal/delivery"
)

// A connection that is idle costs no more with compression than without: no window, no
// buffer, no decoder stays with it.
func TestCompressionCostsIdleConnectionsNothing(t *testing.T) {
	const clients, most = 1000, 64
	measure := func(deflate bool) int {
		e := start(t, echoing(), compressing)
		ask, frame := request, func(op ws.OpCode, s string) string { return clientFrame(op, s) }
		if deflate {
			ask, frame = requestDeflate, func(op ws.OpCode, s string) string { return packedFrame(t, op, s) }
		}
		message := frame(ws.OpText, strings.Repeat("a message ", 100))
		before := settledHeap()
		peers := make([]*peer, clients)
		for i := range peers {
			p, err := tryConnect(t, e, sourceAddr(i))
			must(t, err)
			p.Say(ask(fmt.Sprint("name=", i)))
			p.Upgraded()
			p.Say(message)
			p.inflated()
			p.R = nil
			peers[i] = p
		}
		return (settledHeap() - before) / clients
	}
	without := measure(false)
	with := measure(true)
	t.Logf("%d bytes for a connection and its client with compression, %d without", with, without)
	if with-without > most {
		t.Errorf("compression costs an idle connection %d bytes, want at most %d", with-without, most)
	}
}

// Nor does a compressed delivery allocate. Publishing does: eight for the frame, its twin and
// the wake-ups of two loops make 0.008 here, one for each delivery would make 1.
func TestCompressedDeliveryAllocatesNothing(t *testing.T) {
	const clients, messages, limit = 1000, 200, 0.02
	e := start(t, &host{}, compressing)
	m := meteredBy(t, e, clients, requestDeflate)
	payload := like(rand.New(rand.NewPCG(1, 1)), 1, 1000).Payload()
	publish := func(n int) {
		for range n {
			f := NewFrame(ws.OpText, payload)
			e.Publish(f, nil)
			m.expect(t, clients*len(f.In(delivery.Deflated)))
		}
	}
	publish(20)
	spent := mallocs(func() { publish(messages) })
	each := float64(spent) / (messages * clients)
	t.Logf("%d allocations for %d deliveries", spent, messages*clients)
	if each >= limit {
		t.Errorf("%.4f allocations for a delivery, want less than %v", each, limit)
	}
}
