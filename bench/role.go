package bench

// role is what a client does in a run beside taking messages: a set of the bits below.
// Owned by its client's swarm.
type role uint8

const (
	transient role = 1 << iota // may leave for another one to come
	limp                       // has a small receive buffer, and stops reading when it is told
	stalled                    // has stopped reading once: what it lacks is no fault
	uncounted                  // isn't in the tally
	unplaced                   // hasn't had a message: the first one says where it starts
	gapped                     // stalled, and a number was left out
	told                       // stalled, and was told that it has lost something
)

func (r role) is(what role) bool { return r&what != 0 }

// roles says which clients of a run are which.
type roles struct {
	Stalled float64 `json:"stalled,omitempty"` // share of clients that stop reading; at most maxStalled
	Churn   bool    `json:"churn,omitempty"`   // every other client is transient
}

// maxStalled leaves each worker one client at least that stays and reads: of any
// clientsPerWorker in a row at most one stalls, and two are no transients.
const (
	maxStalled       = 0.25
	clientsPerWorker = 4
)

// of is the role of the run's client number i, counted over all workers.
func (r roles) of(i int) role {
	switch {
	case r.stalledBelow(i+1) > r.stalledBelow(i): // spread evenly
		return limp
	case r.Churn && i%2 == 1:
		return transient
	}
	return 0
}

// stalledBelow is how many of the first n clients stop reading.
func (r roles) stalledBelow(n int) int { return int(float64(n)*r.Stalled + 1e-9) }

// count is how many of so many clients stop reading, and how many stay and read.
func (r roles) count(clients int) (stop, stay int) {
	for i := range clients {
		switch r.of(i) {
		case limp:
			stop++
		case 0:
			stay++
		}
	}
	return stop, stay
}
