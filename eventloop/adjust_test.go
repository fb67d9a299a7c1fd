package eventloop

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/internal/rates"
)

// Limits that are changed count at once, for loops that have clients and for those that get their first one then.
func TestAdjust(t *testing.T) {
	t.Parallel()
	h := &host{onMessage: func(c *Client, _ ws.OpCode, p []byte) {
		if c.Spend(RateRelays, 1) {
			c.Send(NewFrame(ws.OpText, p))
		} else {
			c.Send(text("dropped"))
		}
	}}
	e := start(t, h, func(o *Options) { o.Loops, o.Accept.MaxPerAddress, o.Accept.MaxConnections = 2, 3, 3 })
	first := dial(t, e, "name=1")
	echo := func(p *peer, want string) {
		t.Helper()
		p.Send(ws.OpText, "hello")
		p.Expect(ws.OpText, want)
	}
	echo(first, "hello")
	before := e.tuning.Load()
	o := *before.opts
	o.Rates.Connection[RateRelays] = rates.Limit{PerSecond: 1e-9, Burst: 1}
	o.Accept.MaxConnections, o.Accept.MaxPerAddress, o.Accept.MaxHandshakes, o.MaxMessageIn = 5, 4, 7, 130
	must(t, e.Adjust(o))
	everyLoop(t, e, func(*Loop) {})
	peers := []*peer{first, dial(t, e, "name=2"), dial(t, e, "name=3"), dial(t, e, "name=4")}
	for _, p := range peers {
		echo(p, "hello")
		echo(p, "dropped")
	}
	if _, ok := admitted(t, e, net.IPv4(127, 0, 0, 1)); ok {
		t.Error("an address has more connections than the new limit")
	}
	if got := e.Capacity(); got.Connections != 5 || got.LimitedBy != "-max-connections" {
		t.Errorf("capacity %+v", got)
	}
	everyLoop(t, e, func(l *Loop) {
		if l.opts.Accept.MaxHandshakes != 7 {
			t.Errorf("loop %d has %d handshakes at most", l.index, l.opts.Accept.MaxHandshakes)
		}
	})
	o.Timeouts.Handshake = time.Nanosecond
	if err := e.Adjust(o); err == nil || e.tuning.Load().opts.Timeouts.Handshake == time.Nanosecond {
		t.Errorf("a bad option is taken: %v", err)
	}
	o.Timeouts.Handshake, o.Accept.MaxPerAddress = time.Minute, -1
	if err := e.Adjust(o); !errors.Is(err, ErrAddressCap) {
		t.Errorf("the limit for addresses ends: %v", err)
	}
	o.Accept.MaxPerAddress, o.Rates, o.Listen, o.Loops = 3, before.opts.Rates, "nowhere", 7
	must(t, e.Adjust(o))
	everyLoop(t, e, func(*Loop) {})
	echo(first, "hello")
	if now := e.tuning.Load().opts; now.Loops != 2 || now.Listen != before.opts.Listen || now.Timeouts.Handshake != time.Minute {
		t.Errorf("the options are %+v", now)
	}
	first.Send(ws.OpText, string(make([]byte, 131)))
	first.ExpectClose(1009)
}
