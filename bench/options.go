package bench

import "time"

// Options are what all scenarios have in common.
type Options struct {
	Target Target
	Load   LoadOptions
	Server []int         // cores of the server; empty: any
	Stall  time.Duration // without any delivery; ends a run. Default 10 s
	// Progress is called with what is being done, how far that is and how far it goes; 0
	// when nobody knows. It may be nil. It is called often and must return at once.
	Progress func(phase string, done, of int64)
}

func (o *Options) defaults() {
	if o.Stall == 0 {
		o.Stall = 10 * time.Second
	}
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
}
