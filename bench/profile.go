// Package bench measures WebSocket fan-out servers. Run starts a server as a process of its own,
// connects clients to it from threads of its own, publishes through the server's control
// connection, checks that every client got every message once and in order, and says what that
// cost. What is measured is a Profile; what is found, a Result of named figures.
//
// A server that can be measured is a runner.Target: a program that takes -listen and -control,
// prints "ready", and speaks the control protocol that runner.Control describes.
package bench

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/busbar-ws/busbar/bench/loadgen"
	"github.com/busbar-ws/busbar/bench/runner"
)

// ErrOptions: a profile makes no sense; nothing was started.
var ErrOptions = runner.ErrOptions

// Setup is what is measured, from where, and who hears of it.
type Setup struct {
	Target      runner.Target   `json:"target"`
	ServerCores runner.CoreList `json:"server_cores"`
	LoadCores   runner.CoreList `json:"load_cores"`
	Workers     int             `json:"workers"` // threads that hold the clients; 0: as many as cores of the load
	Pace        int             `json:"pace"`    // connections of each worker that may be under way at once
	Netns       bool            `json:"netns,omitempty"`
	Stall       time.Duration   `json:"stall_ns"` // without any progress; ends connecting and waiting
	Token       string          `json:"-"`        // bearer token of every client, or empty

	// Progress is called with what is being done, how far that is and how far it goes; 0 when
	// nobody knows. It is called often and must return at once.
	Progress func(phase string, done, of int64) `json:"-"`
	// Measured is called with the result while the connections still stand, since ending a
	// million of them takes minutes. It may be nil.
	Measured func(*Result) `json:"-"`
}

// Profile is what clients and publishers do in a run. Parts that are zero are left out: without
// Messages and Duration the clients only connect.
type Profile struct {
	Setup
	Clients int `json:"clients"`

	Sizes    loadgen.Mixture `json:"sizes"`
	Window   int             `json:"window"`         // messages in flight
	Rate     float64         `json:"rate,omitempty"` // messages a second, in place of Window
	Messages int             `json:"messages,omitempty"`
	Duration time.Duration   `json:"duration_ns,omitempty"` // when Messages is 0
	WarmUp   time.Duration   `json:"warm_up_ns,omitempty"`
	Settle   time.Duration   `json:"settle_ns,omitempty"` // before memory is looked at; 0: it isn't

	Stalled Share   `json:"stalled,omitempty"` // of the clients, that stop reading
	Churn   float64 `json:"churn,omitempty"`   // clients a second that leave, and that come
	Storm   int     `json:"storm,omitempty"`   // clients that come at once, and leave when they are connected

	Rows        int `json:"rows,omitempty"`        // that each client subscribes to
	Subscribers int `json:"subscribers,omitempty"` // of each row

	Senders Share `json:"senders,omitempty"` // of the clients, that send presence messages to all: Rate a second together
	Leave   int   `json:"leave,omitempty"`   // clients that leave at once in the end
}

// Share is a part of all, from 0 to 1, that is written as 1% or 0.01.
type Share float64

// Set reads a share.
func (s *Share) Set(text string) error {
	number, percent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return fmt.Errorf("%q is no share; write 1%% or 0.01", text)
	}
	if percent {
		v /= 100
	}
	*s = Share(v)
	return nil
}

// String is the share in percent.
func (s *Share) String() string { return strconv.FormatFloat(float64(*s)*100, 'g', 6, 64) + "%" }

// disturbed is whether clients do something while messages go out.
func (p *Profile) disturbed() bool { return p.Stalled > 0 || p.Churn > 0 || p.Storm > 0 }

// Undisturbed is the same load without what clients do meanwhile.
func (p Profile) Undisturbed() Profile {
	p.Stalled, p.Churn, p.Storm = 0, 0, 0
	return p
}

func (p *Profile) roles() loadgen.Roles {
	return loadgen.Roles{Stalled: float64(p.Stalled), Churn: p.Churn > 0}
}

func (p *Profile) plan() *loadgen.RowPlan {
	return &loadgen.RowPlan{Clients: p.Clients, Rows: p.Rows, Subscribers: p.Subscribers}
}

// senders is how many there are; with few clients at least one.
func (p *Profile) senders() int { return max(int(float64(p.Senders)*float64(p.Clients)+0.5), 1) }

func (p *Profile) limit() loadgen.Limit {
	if p.Messages > 0 {
		return loadgen.Limit{Messages: uint64(p.Messages)}
	}
	return loadgen.Limit{Duration: p.Duration}
}

// validate also fills in what has a default in every run.
func (p *Profile) validate() error {
	if p.Progress == nil {
		p.Progress = func(string, int64, int64) {}
	}
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrOptions, fmt.Sprintf(format, args...))
	}
	switch {
	case p.Clients < 1 || p.Pace < 1 || p.Workers < 0 || p.Workers > p.Clients:
		return wrong("clients %d, pace %d, workers %d: at least 1 client at a time, and no more workers than clients", p.Clients, p.Pace, p.Workers)
	case p.Window < 1 || p.Window > loadgen.MaxOutstanding/2:
		return wrong("window: %d messages; 1 to %d", p.Window, loadgen.MaxOutstanding/2)
	case !(p.Rate >= 0 && p.Rate <= 1e9): // nor is it NaN
		return wrong("rate: %v messages a second; 0 to a billion", p.Rate)
	case p.Messages < 0 || p.Duration < 0 || p.WarmUp < 0 || p.Settle < 0:
		return wrong("messages, duration, warm-up and settle can't be negative")
	case p.Target.Address != "" && (p.Netns || p.Target.Protocol != runner.Echo && p.Target.Protocol != runner.Centrifugo):
		return wrong("address %s: its protocol is %q, not echo or centrifugo, or clients would be in a namespace", p.Target.Address, p.Target.Protocol)
	case p.Stall <= 0:
		return wrong("stall: %v; above 0", p.Stall)
	case (p.disturbed() || p.Rows > 0 || p.Senders > 0) && p.Messages == 0 && p.Duration == 0:
		return wrong("messages or duration is required: how long the run is")
	}
	if err := p.Sizes.Validate(); err != nil {
		return err
	}
	switch {
	case p.Rows < 0 || p.Senders < 0 || p.Rows > 0 && p.Senders > 0 || p.disturbed() && (p.Rows > 0 || p.Senders > 0):
		return wrong("rows, senders, and what clients do during a fan-out are measured each by itself")
	case p.Rows > 0:
		return p.validateRows()
	case p.Senders > 0:
		return p.validateSenders()
	case p.disturbed():
		return p.validateDisturbance()
	}
	return runner.HoldsClients(p.Clients)
}

func (p *Profile) validateRows() error {
	if len(p.Sizes) > 1 || p.Subscribers > math.MaxUint16 {
		return fmt.Errorf("%w: rows: one size, and at most %d subscribers", ErrOptions, math.MaxUint16)
	}
	return p.plan().Prepare()
}

// maxRelayCells bounds the pairs of a client and a sender: each takes a worker 4 bytes.
const maxRelayCells = 1 << 30

func (p *Profile) validateSenders() error {
	switch {
	case p.Senders > 1 || p.Rate == 0 || p.Messages > 0:
		return fmt.Errorf("%w: senders: %s of the clients at a rate of %v; at most 100%%, a rate above 0, and a duration",
			ErrOptions, p.Senders.String(), p.Rate)
	case len(p.Sizes) > 1 || p.Sizes.Of(0) < loadgen.MinRelay || p.Sizes.Of(0) > 32<<10:
		return fmt.Errorf("%w: size: %v bytes; one size of %d to 32 KiB", ErrOptions, p.Sizes, loadgen.MinRelay)
	case p.Leave < 0 || p.Leave >= p.Clients:
		return fmt.Errorf("%w: leave: %d of %d clients; someone has to stay", ErrOptions, p.Leave, p.Clients)
	case p.senders()*p.Clients > maxRelayCells:
		return fmt.Errorf("%w: senders: %d of %d clients are too many to check; %d would do",
			ErrOptions, p.senders(), p.Clients, maxRelayCells/p.Clients)
	}
	return nil
}

func (p *Profile) validateDisturbance() error {
	stop, stay := p.roles().Count(p.Clients)
	switch {
	case !(p.Stalled >= 0 && p.Stalled <= loadgen.MaxStalled):
		return fmt.Errorf("%w: stalled: %s of the clients; at most %v", ErrOptions, p.Stalled.String(), loadgen.MaxStalled)
	case !(p.Churn >= 0 && p.Churn <= 1e6):
		return fmt.Errorf("%w: churn: %v clients a second; 0 to a million", ErrOptions, p.Churn)
	case stay == 0 || p.Stalled > 0 && stop == 0:
		return fmt.Errorf("%w: stalled: %s of %d clients are %d, and %d stay", ErrOptions, p.Stalled.String(), p.Clients, stop, stay)
	case p.Storm < 0 || p.Storm > 0 && p.Rate == 0:
		return fmt.Errorf("%w: storm: %d clients at a rate of %v; at least 0, and a rate above 0", ErrOptions, p.Storm, p.Rate)
	}
	return nil
}

// String is the load in words.
func (p *Profile) String() string {
	text := fmt.Sprintf("%s clients", thousands(float64(p.Clients)))
	if p.Rows > 0 {
		text += fmt.Sprintf(", %d rows each, %d to a row", p.Rows, p.Subscribers)
	}
	if p.Senders > 0 {
		text += fmt.Sprintf(", %d of them send", p.senders())
	}
	switch {
	case p.Messages == 1:
		text += fmt.Sprintf(", one message of %v bytes", p.Sizes)
	case p.Messages > 0 || p.Duration > 0:
		text += fmt.Sprintf(", messages of %v bytes", p.Sizes)
		if p.Rate > 0 {
			text += fmt.Sprintf(", %g a second", p.Rate)
		} else {
			text += fmt.Sprintf(", %d in flight", p.Window)
		}
	}
	if p.Stalled > 0 {
		text += fmt.Sprintf(", %s stop reading", p.Stalled.String())
	}
	if p.Churn > 0 {
		text += fmt.Sprintf(", %g a second leave and come", p.Churn)
	}
	if p.Storm > 0 {
		text += fmt.Sprintf(", %s come at once", thousands(float64(p.Storm)))
	}
	if p.Netns {
		text += ", through a veth pair"
	}
	return text
}
