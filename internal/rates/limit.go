package rates

import "time"

// Kind is what is counted.
type Kind uint8

// The kinds.
const (
	Messages   Kind = iota // that arrive, pings and pongs included
	Bytes                  // that arrive, headers of frames included
	Relays                 // presence and topic messages, each of which costs a send to everybody
	Subscribes             // subscriptions begun and ended
	Kinds                  // how many there are
)

var kindNames = [Kinds]string{"messages", "bytes", "relays", "subscribes"}

// String is the kind's name in metrics and in reasons for closing.
func (k Kind) String() string { return kindNames[k] }

// Limit is a bucket of Burst tokens, into which PerSecond flow. It starts full. Without a
// positive PerSecond there is no limit, whatever Burst is.
type Limit struct {
	PerSecond float64
	Burst     float64
}

// Window is how long what was refused to a connection counts against it.
const Window = 10 * time.Second

// abuse is how much may be refused within Window: as much as may pass in that time. Only
// who goes on at twice the allowed rate, or worse, gets there.
func (l Limit) abuse() float64 { return l.Burst + l.PerSecond*Window.Seconds() }

// Allowance is a limit for each kind.
type Allowance [Kinds]Limit

func (a Allowance) times(n int) Allowance {
	for k := range a {
		a[k].PerSecond *= float64(n)
		a[k].Burst *= float64(n)
	}
	return a
}

// Limits are what connections may use. The zero value limits nothing.
type Limits struct {
	// Connection is what each connection has.
	Connection Allowance
	// User and Address are how many connections' allowance all connections of one user,
	// and of one address, have together. Zero: as much as they have each.
	User, Address int
	// Accounts bounds the users, and the addresses, that are remembered for a while
	// though none of their connections has sent anything lately. Zero: 65,536.
	Accounts int
}
