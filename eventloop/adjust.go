package eventloop

import (
	"errors"

	"github.com/busbar-ws/busbar/eventloop/internal/poll"
	"github.com/busbar-ws/busbar/internal/rates"
)

// tuning is what loops go by. It is immutable: Adjust makes another one, which each loop takes over itself, so that no
// loop shares with anybody what it looks at for each message.
type tuning struct {
	opts    *Options
	limiter *rates.Limiter
}

// ErrAddressCap: a limit for addresses can't begin or end while there are connections.
var ErrAddressCap = errors.New("max per address: it can't be switched on or off while the engine runs")

// Adjust takes those of the options over that may change while the engine runs: of Accept MaxConnections, MaxPerAddress
// (but not from on to off, or back), MaxHandshakes, Rate and Burst; of Slow LagTime and LagBytes; Timeouts.Handshake, MaxMessageIn, and Rates, with which
// what clients have used begins anew. All others stay. Connections that there are above a new limit stay too. After an
// error nothing was changed. Loops follow with their next turn. Calls must not overlap.
func (e *Engine) Adjust(to Options) error {
	was := e.tuning.Load()
	o := *was.opts
	o.Accept.MaxConnections, o.Accept.MaxPerAddress, o.Accept.MaxHandshakes = to.Accept.MaxConnections, to.Accept.MaxPerAddress, to.Accept.MaxHandshakes
	o.Accept.Rate, o.Accept.Burst = to.Accept.Rate, to.Accept.Burst
	o.Slow.LagTime, o.Slow.LagBytes = to.Slow.LagTime, to.Slow.LagBytes
	o.Timeouts.Handshake, o.MaxMessageIn, o.Rates = to.Timeouts.Handshake, to.MaxMessageIn, to.Rates
	o.setDefaults()
	if o.Accept.MaxPerAddress < 0 {
		o.Rates.Address = 0
	}
	if err := o.validate(true); err != nil {
		return err
	}
	if o.Accept.MaxPerAddress < 0 != (e.addresses.Most() < 0) {
		return ErrAddressCap
	}
	e.places.Limit(o.Accept.MaxConnections)
	e.addresses.Limit(o.Accept.MaxPerAddress)
	t := &tuning{opts: &o, limiter: was.limiter}
	if o.Rates != was.opts.Rates {
		t.limiter = rates.NewLimiter(o.Rates)
	}
	e.tuning.Store(t)
	for _, l := range e.loops { // one that never had a connection takes it over with the first
		l.post(entry{run: func(l *Loop) { l.adopt(e.tuning.Load()) }})
	}
	return nil
}

// adopt has the loop go by t, which is the newest there is.
func (l *Loop) adopt(t *tuning) {
	if l.opts == t.opts {
		return
	}
	l.opts = t.opts
	l.accepting.pace.Adjust(l.opts.Accept.Rate, l.opts.Accept.Burst)
	if t.limiter != l.meters.Limiter() {
		l.meters.Restart(t.limiter, l.meters.Now)
	}
	if !l.handshakesFull() {
		l.poller.AcceptPause().Resume(poll.PauseHandshakes)
	}
}
