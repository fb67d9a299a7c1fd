package hub

import (
	"fmt"

	"github.com/busbar-ws/busbar/eventloop"
	"github.com/busbar-ws/busbar/internal/rates"
)

// Limit is so many a second, and so many at once.
type Limit = rates.Limit

// Rates bound what clients may send. Admin connections have no limits.
//
// What is over a limit is dropped and counted. A connection of which more is dropped within
// ten seconds than may pass in ten seconds, a burst included, is closed with 1008.
//
// Zero fields take the defaults named beside them. A negative PerSecond: no limit.
type Rates struct {
	Messages   Limit // of all kinds, pings and pongs too; default 200 a second, 20,000 at once
	Bytes      Limit // of all that a client sends; default 2 MiB a second, 8 MiB at once
	Relays     Limit // presence and topic messages; default 20 a second, 40 at once
	Subscribes Limit // begun and ended; default 100 a second, MaxSubscriptions or 1,000 at once

	// PerUser and PerAddress are how many connections' allowance, relays included, all
	// connections of one user, and of one address, have together. Default 8 and 32;
	// negative: as much as they have each. PerAddress counts only while there is a
	// Loops.Accept.MaxPerAddress.
	PerUser, PerAddress int
}

func (r *Rates) defaults(maxSubscriptions int) {
	setDefault(&r.Messages.PerSecond, 200)
	setDefault(&r.Messages.Burst, 20_000)
	setDefault(&r.Bytes.PerSecond, 2<<20)
	setDefault(&r.Bytes.Burst, 8<<20)
	setDefault(&r.Relays.PerSecond, 20)
	setDefault(&r.Relays.Burst, 40)
	setDefault(&r.Subscribes.PerSecond, 100)
	setDefault(&r.Subscribes.Burst, float64(max(maxSubscriptions, 1000)))
	setDefault(&r.PerUser, 8)
	setDefault(&r.PerAddress, 32)
}

func (o *Options) validateRates() error {
	limits := o.limits().Connection
	for k, l := range limits {
		if l.PerSecond > 0 && l.Burst < 1 {
			return fmt.Errorf("burst of %v: %v lets nothing through; at least 1", rates.Kind(k), l.Burst)
		}
	}
	return nil
}

// limits are the options as the event loops take them.
func (o *Options) limits() rates.Limits {
	return rates.Limits{
		Connection: rates.Allowance{
			rates.Messages: o.Rates.Messages, rates.Bytes: o.Rates.Bytes,
			rates.Relays: o.Rates.Relays, rates.Subscribes: o.Rates.Subscribes,
		},
		User: max(o.Rates.PerUser, 0), Address: max(o.Rates.PerAddress, 0),
	}
}

// rateKey is whose account a client draws on. Users of one name in two tenants are two.
func rateKey(c *eventloop.Client) (user string, metered bool) {
	id := identityOf(c)
	switch {
	case id == nil || id.Admin:
		return "", false
	case id.Anonymous || id.UserID == "":
		return "", true
	}
	return id.Tenant + "\x00" + id.UserID, true
}
