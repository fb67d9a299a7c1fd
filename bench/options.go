package bench

import "time"

// Options are what all scenarios have in common.
type Options struct {
	Target Target
	Load   LoadOptions
	Server []int // cores of the server; empty: any
	// Stall ends a run in which no message has come to its last client for so long. Default 10 s.
	Stall time.Duration
	// Progress is called with what is being done, how far that is and how far it goes; 0
	// when nobody knows. It may be nil. It is called often and must return at once.
	Progress func(phase string, done, of int64)
}

// defaultStall is how long nothing may happen.
const defaultStall = 10 * time.Second

func (o *Options) defaults() {
	if o.Stall == 0 {
		o.Stall = defaultStall
	}
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
}
