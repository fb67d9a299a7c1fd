package eventloop

import (
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop/internal/admission"
	"github.com/busbar-ws/busbar/internal/rates"
)

// What a client may do only so often.
const (
	RateMessages   = rates.Messages   // that arrive, pings and pongs included
	RateBytes      = rates.Bytes      // that arrive, headers of frames included
	RateRelays     = rates.Relays     // presence and topic messages
	RateSubscribes = rates.Subscribes // subscriptions begun and ended
)

// maxPong is the longest pong there is, in bytes: header, mask and payload. The one that a client answers a ping with
// is free, or each ping would make a meter.
const maxPong = 2 + 4 + 125

// Spend takes n of what the client may use, and reports whether there was so much. What
// finds nothing left is to be dropped, and is counted. A client that goes on far over a
// limit is closed here with 1008.
func (c *Client) Spend(k rates.Kind, n int) bool {
	l := c.loop
	if !l.meters.Limiter().Limits(k) {
		return true
	}
	m := l.meter(c)
	if m == nil {
		return true
	}
	verdict, scope := l.meters.Limiter().Spend(m, l.meters.Now, k, n)
	if verdict == rates.Passed {
		return true
	}
	l.counters.limited[k].Add(1)
	l.counters.limitedBy[scope].Add(1)
	if verdict == rates.Abused && c.state == open {
		l.close(c, ws.StatusPolicyViolation, "rate abuse: "+k.String(), CauseRateAbuse)
	}
	return false
}

// spendRead takes the bytes of one read. What is left out of it is the answer to our ping.
func (l *Loop) spendRead(c *Client, n int, pinged bool) bool {
	l.meters.Now = time.Since(l.engine.started)
	return c.state != open || n == 0 || pinged && n <= maxPong || c.Spend(rates.Bytes, n)
}

// meter is the client's meter, made when there is none; nil when it isn't metered.
func (l *Loop) meter(c *Client) *rates.Meter {
	m, known := l.meters.Find(c.slot)
	if known {
		return m
	}
	user, metered := "", true
	if l.opts.RateKey != nil {
		user, metered = l.opts.RateKey(c)
	}
	if metered {
		m = l.meters.Limiter().Open(user, string(admission.Network(c.Addr()).AsSlice()), l.meters.Now)
	}
	l.meters.Keep(c.slot, m)
	return m
}
