package eventloop

import (
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// With drop-oldest a client may lag for as long as it takes something now and then. One
// that takes nothing, its window closed or its host gone, is ended by the kernel
// (TCP_USER_TIMEOUT; for a closed window see net/ipv4/tcp_timer.c, tcp_probe_timer), and costs no
// more than LagBytes until then.
func TestDropOldestDoesNotKeepTheDead(t *testing.T) {
	t.Parallel()
	h := &host{onLoss: func(*Client) *Frame { return text("lost") }}
	e := start(t, h, oneSmallLoop, closeBy, func(o *Options) { o.Slow.Policy, o.Slow.LagBytes = DropOldest, 20_000 })
	got := healthyClient(t, e)
	gone := dial(t, e, "name=gone", wstest.SmallWindow)
	dial(t, e, "name=full", wstest.SmallWindow)
	n, began := 0, time.Now()
	publish := func() {
		n++
		f := numbered(n, 5000)
		e.Publish(f, nil)
		if payload := <-got; payload != string(f.Payload()) {
			t.Fatalf("the healthy client got %q for message %d", brief(payload), n)
		}
	}
	for e.Stats().Loops[0].Lagging < 2 {
		publish()
	}
	gone.vanish()
	eventually(t, "both are ended", func() bool {
		publish()
		everyLoop(t, e, func(l *Loop) {
			if kept := l.broadcasts.Bytes(); kept > 2*l.opts.Slow.LagBytes {
				t.Errorf("%d bytes are kept for them", kept)
			}
		})
		return closedBy(e, CauseReset) == 2
	})
	if took, most := time.Since(began), e.opts.Timeouts.PingInterval+e.opts.Timeouts.Pong; took > most+slack {
		t.Errorf("they were ended after %v, at most %v is fine", took, most)
	}
	if e.Clients() != 1 || e.Connections() != 1 {
		t.Errorf("%d clients and %d connections are left, want 1", e.Clients(), e.Connections())
	}
}

// A client that asks and doesn't read is given up on as well: its answers wait within
// LagBytes, whatever the policy for those that are slow.
func TestAskingAndNotReading(t *testing.T) {
	t.Parallel()
	for _, policy := range []SlowPolicy{Disconnect, DropOldest} {
		h := &host{}
		e := start(t, h, oneSmallLoop, farAway, func(o *Options) { o.Slow.Policy, o.Slow.LagBytes = policy, 20_000 })
		p := dial(t, e, "name=x", wstest.SmallWindow)
		pings := ""
		for range 100 {
			pings += clientFrame(ws.OpPing, string(make([]byte, 125)))
		}
		p.trickle(pings)
		eventually(t, "it is closed", func() bool { return closedBy(e, CauseSlow) == 1 })
	}
}
