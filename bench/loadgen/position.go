package loadgen

// position is where one client stands in the sequence of messages. Owned by its swarm.
type position struct {
	next uint64 // the number that should come now
	// seen has a bit for each of the 64 numbers before next, the latest in bit 0: it
	// tells a message that comes late from one that comes twice. Bits for numbers that
	// were before the client count as seen.
	seen uint64
}

func newPosition(next uint64) position { return position{next: next, seen: ^uint64(0)} }

// take notes that message seq has come and counts what is wrong with that. fresh is false
// when it had come before, or so long ago that nobody remembers.
func (p *position) take(seq uint64, faults *Faults) (fresh bool) {
	if seq >= p.next {
		gap := seq - p.next
		faults.Lost += gap // taken back for those that still come
		p.seen = p.seen<<(gap+1) | 1
		p.next = seq + 1
		return true
	}
	behind := p.next - 1 - seq
	if behind < 64 && p.seen>>behind&1 == 0 {
		p.seen |= 1 << behind
		faults.Lost--
		faults.Disordered++
		return true
	}
	faults.Repeated++
	return false
}

// MaxOutstanding bounds the messages that may be published and not yet at every client.
const MaxOutstanding = 1 << 16

// tally counts for each message how many clients have come past it, so that whoever
// publishes learns of messages and not of deliveries. Owned by its swarm.
//
// Invariant: no client's position is at or above low+MaxOutstanding, so that a count
// never stands for two messages.
type tally struct {
	counts  []uint32 // a ring
	low     uint64   // every client has come past all messages below
	clients uint32
}

func newTally() tally { return tally{counts: make([]uint32, MaxOutstanding)} }

func (t *tally) at(seq uint64) *uint32 { return &t.counts[seq%MaxOutstanding] }

// room is false for a number so high that it can't have been published.
func (t *tally) room(seq uint64) bool { return seq < t.low+MaxOutstanding }

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

// stampSize is that of a number and a time in bytes, and MinSize that of the smallest payload: a
// stamp and some filling, or a stamp in hexadecimal digits.
const (
	stampSize = 16
	MinSize   = 2 * stampSize
)

// MaxSize is the largest payload in bytes that targets take.
const MaxSize = 16 << 20
