package eventloop

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/internal/rates"
)

// What limits cost each message that arrives. Four clients send small messages as fast as they can, all on
// one account; each write has a hundred of them, so that decoding and metering are what is measured.
func BenchmarkInbound(b *testing.B) {
	var all rates.Limits
	for k := range all.Connection {
		all.Connection[k] = rates.Limit{PerSecond: 1e12, Burst: 1e12}
	}
	shared := all
	shared.User, shared.Address = 2, 2
	for _, c := range []struct {
		name   string
		limits rates.Limits
	}{{"unlimited", rates.Limits{}}, {"connection", all}, {"user and address", shared}} {
		b.Run(c.name, func(b *testing.B) {
			var handled atomic.Int64
			h := &host{onMessage: func(*Client, ws.OpCode, []byte) { handled.Add(1) }}
			e := start(b, h, func(o *Options) {
				o.Rates, o.Accept.MaxPerAddress = c.limits, 100
				o.RateKey = func(*Client) (string, bool) { return "alice", true }
			})
			const clients, each = 4, 100
			var peers []*peer
			for range clients {
				peers = append(peers, dial(b, e, ""))
			}
			batch := strings.Repeat(clientFrame(ws.OpText, "0123456789"), each)
			rounds := b.N/(clients*each) + 1
			b.ReportAllocs()
			b.ResetTimer()
			for range rounds {
				for _, p := range peers {
					p.Say(batch)
				}
			}
			eventually(b, "all handled", func() bool { return handled.Load() == int64(rounds*clients*each) })
		})
	}
}
