package main

import (
	"fmt"
	"testing"
)

// docs/protocol.md section 2: lossy at first, then 1008; the flags say when, and the metrics what was dropped.
func TestRateLimits(t *testing.T) {
	for flag, test := range map[string]struct {
		message, limit string
		burst          int
	}{
		"message":   {`{}`, "messages", 5},
		"relay":     {`{"type":"topic","topic":"t"}`, "relays", 5},
		"subscribe": {`{"type":"subscribe","topic":"t"}`, "subscribes", 5},
	} {
		t.Run(flag, func(t *testing.T) {
			// In a test that takes less than a second one token comes back, and 15 may be dropped.
			d := startDaemon(t, "-"+flag+"-rate", "1", "-"+flag+"-burst", fmt.Sprint(test.burst))
			other := d.connect(d.session("bob"))
			c := d.connect(d.session("alice"))
			dropped := fmt.Sprintf(`busbar_messages_rate_limited_total{limit=%q}`, test.limit)
			for range test.burst + 5 {
				c.send(test.message)
			}
			eventually(t, "messages dropped", func() bool { return d.metric(dropped) > 0 })
			if n := d.metric("busbar_clients"); n != 2 {
				t.Errorf("%v clients after a few too many", n)
			}
			for range 200 {
				if c.try(test.message) != nil {
					break
				}
			}
			if reason := waitClose(t, c, 1008); reason != "rate abuse: "+test.limit {
				t.Errorf("reason %q", reason)
			}
			eventually(t, "the end counted", func() bool {
				return d.metric(`busbar_connections_closed_total{cause="rate_abuse"}`) == 1
			})
			if n := d.metric(`busbar_rate_limited_by_total{scope="connection"}`); n != d.metric(dropped) {
				t.Errorf("%v by the connection's limit", n)
			}
			other.send(`{"type":"presence"}`)
			waitType(other, "presence")
		})
	}
}

// A user's connections share an allowance, across connections, loops and reconnects.
func TestRateLimitOfAUser(t *testing.T) {
	d := startDaemon(t, "-relay-rate", "1", "-relay-burst", "10", "-user-allowance", "2")
	token := d.session("alice")
	for range 10 {
		c := d.connect(token)
		for range 5 {
			c.send(`{"type":"presence"}`)
		}
		c.close(1000, "")
		c.waitEvent(soon, "close")
	}
	const relayed, dropped = "busbar_messages_relayed_total", `busbar_rate_limited_by_total{scope="user"}`
	eventually(t, "all decided about", func() bool { return d.metric(relayed)+d.metric(dropped) == 50 })
	if n := d.metric(relayed); n < 20 || n == 50 { // twenty, and two more each second
		t.Errorf("%v were relayed", n)
	}
}
