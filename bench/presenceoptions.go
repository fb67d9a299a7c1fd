package bench

import (
	"fmt"
	"time"
)

// PresenceOptions say who sends presence messages, which go to all clients, and how many.
type PresenceOptions struct {
	Options
	// Senders is the share of clients that send, above 0 and at most 1. Default 0.1.
	Senders  float64
	Rate     float64       // messages a second of all senders together. Default 100
	Size     int           // of a message as its sender sends it, in bytes; at least MinRelay. Default 128
	Duration time.Duration // that is measured. Default 5 s
	WarmUp   time.Duration // before; 0: none
	Leave    int           // clients that leave at once in the end; fewer than there are
}

// maxRelayCells bounds the pairs of a client and a sender: each takes a worker 4 bytes.
const maxRelayCells = 1 << 30

func (o *PresenceOptions) defaults() {
	o.Options.defaults()
	if o.Senders == 0 {
		o.Senders = 0.1
	}
	if o.Rate == 0 {
		o.Rate = 100
	}
	if o.Size == 0 {
		o.Size = 128
	}
	if o.Duration == 0 {
		o.Duration = 5 * time.Second
	}
}

// senders is how many there are; with few clients at least one.
func (o *PresenceOptions) senders() int {
	return max(int(o.Senders*float64(o.Load.Clients)+0.5), 1)
}

func (o *PresenceOptions) validate() error {
	switch {
	case o.Load.Clients < 1:
		return fmt.Errorf("%w: clients: %d; at least 1", ErrOptions, o.Load.Clients)
	case !(o.Senders > 0 && o.Senders <= 1): // nor is it NaN
		return fmt.Errorf("%w: senders: a share of %g; above 0 and at most 1", ErrOptions, o.Senders)
	case !(o.Rate > 0 && o.Rate <= 1e9):
		return fmt.Errorf("%w: rate: %g messages a second; above 0", ErrOptions, o.Rate)
	case o.Size < MinRelay || o.Size > 32<<10:
		return fmt.Errorf("%w: size: %d bytes; %d to 32 KiB", ErrOptions, o.Size, MinRelay)
	case o.Duration < 0 || o.WarmUp < 0:
		return fmt.Errorf("%w: duration and warm-up can't be negative", ErrOptions)
	case o.Leave < 0 || o.Leave >= o.Load.Clients:
		return fmt.Errorf("%w: leave: %d of %d clients; someone has to stay", ErrOptions, o.Leave, o.Load.Clients)
	case o.senders()*o.Load.Clients > maxRelayCells:
		return fmt.Errorf("%w: senders: %d of %d clients are too many to check; %d would do",
			ErrOptions, o.senders(), o.Load.Clients, maxRelayCells/o.Load.Clients)
	}
	return nil
}
