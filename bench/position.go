package bench

import "fmt"

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

func (f *Faults) add(o Faults) {
	f.Lost += o.Lost
	f.Repeated += o.Repeated
	f.Disordered += o.Disordered
	f.Foreign += o.Foreign
	f.Ended += o.Ended
}

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

// String names what there is of each.
func (f Faults) String() string {
	return fmt.Sprintf("%d deliveries lost, %d repeated, %d out of order, %d foreign, %d connections ended",
		f.Lost, f.Repeated, f.Disordered, f.Foreign, f.Ended)
}
