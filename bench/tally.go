package bench

// maxOutstanding bounds the messages that may be published and not yet at every client.
const maxOutstanding = 1 << 16

// tally counts for each message how many clients have come past it, so that whoever
// publishes learns of messages and not of deliveries. Owned by its swarm.
//
// Invariant: no client's position is at or above low+maxOutstanding, so that a count
// never stands for two messages.
type tally struct {
	counts  []uint32 // a ring
	low     uint64   // every client has come past all messages below
	clients uint32
}

func newTally() tally { return tally{counts: make([]uint32, maxOutstanding)} }

func (t *tally) at(seq uint64) *uint32 { return &t.counts[seq%maxOutstanding] }

// room is false for a number so high that it can't have been published.
func (t *tally) room(seq uint64) bool { return seq < t.low+maxOutstanding }

// pass counts a client that went from one position to a higher one.
func (t *tally) pass(from, to uint64) {
	for seq := from; seq < to; seq++ {
		*t.at(seq)++
	}
	t.advance()
}

// join takes a client in that stands at a position, low or above.
func (t *tally) join(at uint64) {
	for seq := t.low; seq < at; seq++ {
		*t.at(seq)++
	}
	t.clients++
}

// leave takes a client out that stands at a position.
func (t *tally) leave(at uint64) {
	for seq := t.low; seq < at; seq++ {
		*t.at(seq)--
	}
	t.clients--
	t.advance()
}

func (t *tally) advance() {
	for t.clients > 0 && *t.at(t.low) == t.clients {
		*t.at(t.low) = 0
		t.low++
	}
}
