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

// maxRelayCells bounds the pairs of a client and a sender: each takes a worker 4 bytes.
const maxRelayCells = 1 << 30

// validate also fills in what has a default in every run.
func (p *Profile) validate() error {
	if p.Progress == nil {
		p.Progress = func(string, int64, int64) {}
	}
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrOptions, fmt.Sprintf(format, args...))
	}
	if err := p.Sizes.Validate(); err != nil {
		return err
	}
	kinds, size := 0, p.Sizes.Of(0)
	for _, is := range []bool{p.disturbed(), p.Rows != 0, p.Senders != 0} {
		if is {
			kinds++
		}
	}
	switch { // the comparisons are such that NaN is wrong
	case p.Clients < 1 || p.Pace < 1 || p.Workers < 0 || p.Workers > p.Clients:
		return wrong("clients %d, pace %d, workers %d: at least 1 client at a time, and no more workers than clients", p.Clients, p.Pace, p.Workers)
	case p.Window < 1 || p.Window > loadgen.MaxOutstanding/2:
		return wrong("window: %d messages; 1 to %d", p.Window, loadgen.MaxOutstanding/2)
	case !(p.Rate >= 0 && p.Rate <= 1e9 && p.Churn >= 0 && p.Churn <= 1e6):
		return wrong("rate: %v messages a second, churn: %v clients; 0 to a billion and a million", p.Rate, p.Churn)
	case min(int64(p.Messages), int64(p.Duration), int64(p.WarmUp), int64(p.Settle), int64(p.Rows), int64(p.Storm)) < 0 || p.Stall <= 0:
		return wrong("messages, duration, warm-up, settle, rows and storm can't be negative; stall: %v; above 0", p.Stall)
	case p.Target.Address != "" && (p.Netns || p.Target.Protocol != runner.Echo && p.Target.Protocol != runner.Centrifugo):
		return wrong("address %s: its protocol is %q, not echo or centrifugo, or clients would be in a namespace", p.Target.Address, p.Target.Protocol)
	case !(p.Stalled >= 0 && p.Stalled <= loadgen.MaxStalled && p.Senders >= 0 && p.Senders <= 1):
		return wrong("stalled: %s and senders: %s of the clients; at most %v and 1", p.Stalled.String(), p.Senders.String(), loadgen.MaxStalled)
	case kinds > 0 && p.Messages == 0 && p.Duration == 0:
		return wrong("messages or duration is required: how long the run is")
	case kinds > 1:
		return wrong("rows, senders, and what clients do during a fan-out are measured each by itself")
	case (p.Rows > 0 || p.Senders > 0) && len(p.Sizes) > 1 || p.Senders > 0 && (size < loadgen.MinRelay || size > 32<<10) || p.Subscribers > math.MaxUint16:
		return wrong("size: %v bytes, %d subscribers: rows and senders have one size, senders one of %d to 32 KiB, and a row %d subscribers at most",
			p.Sizes, p.Subscribers, loadgen.MinRelay, math.MaxUint16)
	case (p.Storm > 0 || p.Senders > 0) && p.Rate == 0 || p.Senders > 0 && p.Messages > 0:
		return wrong("storm: %d clients, senders: %s of them, at a rate of %v: that has to be above 0, and senders send for a duration",
			p.Storm, p.Senders.String(), p.Rate)
	case p.Senders > 0 && p.senders()*p.Clients > maxRelayCells:
		return wrong("senders: %d of %d clients; at most %d senders can be checked", p.senders(), p.Clients, maxRelayCells/p.Clients)
	case p.Rows > 0:
		return p.plan().Validate()
	case p.disturbed():
		if stop, stay := p.roles().Count(p.Clients); stay == 0 || p.Stalled > 0 && stop == 0 {
			return wrong("stalled: %s of %d clients are %d, and %d stay", p.Stalled.String(), p.Clients, stop, stay)
		}
	}
	return nil
}

// String is the load in words.
func (p *Profile) String() string {
	text := thousands(float64(p.Clients)) + " clients"
	add := func(is bool, format string, args ...any) {
		if is {
			text += fmt.Sprintf(", "+format, args...)
		}
	}
	messages := p.Messages > 1 || p.Messages == 0 && p.Duration > 0
	add(p.Rows > 0, "%d rows each, %d to a row", p.Rows, p.Subscribers)
	add(p.Senders > 0, "%d of them send", p.senders())
	add(p.Messages == 1, "one message of %v bytes", p.Sizes)
	add(messages, "messages of %v bytes", p.Sizes)
	add(messages && p.Rate > 0, "%g a second", p.Rate)
	add(messages && p.Rate == 0, "%d in flight", p.Window)
	add(p.Stalled > 0, "%s stop reading", p.Stalled.String())
	add(p.Churn > 0, "%g a second leave and come", p.Churn)
	add(p.Storm > 0, "%s come at once", thousands(float64(p.Storm)))
	add(p.Netns, "through a veth pair")
	return text
}
