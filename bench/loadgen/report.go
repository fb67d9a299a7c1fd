package loadgen

import (
	"fmt"
	"reflect"
)

// Faults are what must not happen in a run; a single one makes it fail.
type Faults struct {
	Lost       uint64 `json:"lost"`       // deliveries that never came
	Repeated   uint64 `json:"repeated"`   // deliveries that had come before
	Disordered uint64 `json:"disordered"` // deliveries that came behind a later message
	Foreign    uint64 `json:"foreign"`    // binary messages that nobody published
	Ended      uint64 `json:"ended"`      // connections that ended during the run
}

// Any is true when there was a fault.
func (f Faults) Any() bool { return f != Faults{} }

// Add adds those of others.
func (f *Faults) Add(o Faults) { addCounts(reflect.ValueOf(f).Elem(), reflect.ValueOf(o)) }

// String names what there is of each.
func (f Faults) String() string {
	return fmt.Sprintf("%d deliveries lost, %d repeated, %d out of order, %d foreign, %d connections ended",
		f.Lost, f.Repeated, f.Disordered, f.Foreign, f.Ended)
}

// Report is what the clients saw, of one worker or of all.
type Report struct {
	Faults
	Deliveries uint64 // messages that came, each once
	Measured   uint64 // of these, those of the measured phase
	Texts      uint64 // text messages, which are none of ours
	Stalled    Stalled
	Churn      Turnover
	Sent       uint64 // messages of clients to all, in the scenario presence
	Error      string // what ended the first connection that ended
}

// Stalled is what became of the clients that stopped reading, as they found it when they
// read on at the end of the run. None of it is a fault: a server may give them up.
type Stalled struct {
	Clients      uint64 // that stopped reading
	Disconnected uint64 // whose connection the server ended
	Closed       uint64 // of these, with a Close frame that arrived
	Told         uint64 // that were sent a notice of the loss
	Gapped       uint64 // that stayed connected for a message behind one they lost
	Lost         uint64 // messages that never came, to those that are connected
	Deliveries   uint64 // that came after they read on
	CaughtUp     uint64 // that have had the run's last message
	Behind       uint64 // that are connected and haven't
}

// Turnover is who came and left during a run.
type Turnover struct {
	Left uint64 // half of them with Close, the others with RST
	Came uint64 // whose upgrade was answered
	// What must not happen: who couldn't connect, who was connected at the end and missed a
	// message that was published when the server counted everyone, and who was still there
	// calmPatience after having said Close.
	Refused, Silent, Lingering uint64
}

func (r *Report) add(o Report) {
	addCounts(reflect.ValueOf(r).Elem(), reflect.ValueOf(o))
	if r.Error == "" {
		r.Error = o.Error
	}
}

// addCounts adds the counts of a struct, and of those in it, to the same ones of another.
func addCounts(to, from reflect.Value) {
	for i := range to.NumField() {
		switch f := to.Field(i); f.Kind() { //nolint:exhaustive // others are no counts
		case reflect.Uint64:
			f.SetUint(f.Uint() + from.Field(i).Uint())
		case reflect.Struct:
			addCounts(f, from.Field(i))
		}
	}
}
