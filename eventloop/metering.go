package eventloop

import (
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop/internal/admission"
	"github.com/busbar-ws/busbar/internal/rates"
)

// RateLimits are how much clients may send, by kind.
type RateLimits = rates.Limits

// RateKind is something that a client may do only so often.
type RateKind = rates.Kind

// The kinds.
const (
	RateMessages   = rates.Messages   // that arrive, pings and pongs included
	RateBytes      = rates.Bytes      // that arrive, headers of frames included
	RateRelays     = rates.Relays     // presence and topic messages
	RateSubscribes = rates.Subscribes // subscriptions begun and ended
)

// maxPong is the longest pong there is, in bytes: header, mask and payload.
const maxPong = 2 + 4 + 125

// meters are what a loop's clients have used lately. Owned by the loop.
//
// A client that has sent nothing lately has no meter: an idle connection costs none of it.
// The pong that it answers a ping with is free, or each ping would make one.
type meters struct {
	open map[uint32]*rates.Meter // by slot; nil for a client that isn't metered
	peak int                     // the most there were since the map was made: maps don't shrink
	now  time.Duration           // since the engine started, as of the last bytes
}

// Spend takes n of what the client may use, and reports whether there was so much. What
// finds nothing left is to be dropped, and is counted. A client that goes on far over a
// limit is closed here with 1008.
func (c *Client) Spend(k RateKind, n int) bool {
	l := c.loop
	if !l.engine.limiter.Limits(k) {
		return true
	}
	m := l.meter(c)
	if m == nil {
		return true
	}
	verdict, scope := l.engine.limiter.Spend(m, l.meters.now, k, n)
	if verdict == rates.Passed {
		return true
	}
	l.counters.limited[k].Add(1)
	l.counters.limitedBy[scope].Add(1)
	if verdict == rates.Abused && c.state == open {
		l.closeUnread(c, ws.StatusPolicyViolation, "rate abuse: "+k.String(), CauseRateAbuse)
	}
	return false
}

// spendRead takes the bytes of one read. What is left out of it is the answer to our ping.
func (l *Loop) spendRead(c *Client, n int, pinged bool) bool {
	l.meters.now = time.Since(l.engine.started)
	return c.state != open || n == 0 || pinged && n <= maxPong || c.Spend(rates.Bytes, n)
}

// meter is the client's meter, made when there is none; nil when it isn't metered.
func (l *Loop) meter(c *Client) *rates.Meter {
	m, known := l.meters.open[c.slot]
	if known {
		return m
	}
	user, metered := "", true
	if l.opts.RateKey != nil {
		user, metered = l.opts.RateKey(c)
	}
	if metered {
		m = l.engine.limiter.Open(user, string(admission.Network(c.Addr()).AsSlice()), l.meters.now)
	}
	l.meters.open[c.slot] = m
	l.meters.peak = max(l.meters.peak, len(l.meters.open))
	return m
}

func (l *Loop) freeMeter(slot uint32) {
	m, known := l.meters.open[slot]
	if !known {
		return
	}
	delete(l.meters.open, slot)
	if m != nil {
		l.engine.limiter.Close(m, time.Since(l.engine.started))
	}
}

// sweepMeters lets go of meters that aren't needed. A map yields its entries from a random
// place on, so a tenth of them each tick comes by every one within seconds, and a tick of a
// loop with very many senders stays short.
func (l *Loop) sweepMeters() {
	now := time.Since(l.engine.started)
	left := len(l.meters.open)/roundTicks + 1
	for slot, m := range l.meters.open {
		if m == nil || l.engine.limiter.Idle(m, now) {
			l.freeMeter(slot)
		}
		if left--; left == 0 {
			break
		}
	}
	const keep = 1024
	if len(l.meters.open) == 0 && l.meters.peak > keep {
		l.meters.open, l.meters.peak = make(map[uint32]*rates.Meter), 0
	}
}
