// Package dedup remembers what was published lately.
package dedup

import "strings"

// Seqs remembers which seq the last so many op ids got, the oldest out first. It is
// owned by whoever holds the publishers' lock. It is bounded in bytes because an op id
// is.
type Seqs struct {
	limit int
	seqs  map[string]uint64
	ring  []string // in order of arrival; grows up to limit
	next  int      // position of the oldest once the ring is full
}

// New makes an empty memory of limit op ids; it remembers nothing if limit isn't
// positive.
func New(limit int) *Seqs {
	return &Seqs{limit: limit, seqs: make(map[string]uint64)}
}

// Seen is the seq that the id got. The empty id stands for none and is never seen.
func (o *Seqs) Seen(id string) (seq uint64, ok bool) {
	seq, ok = o.seqs[id]
	return seq, ok
}

// Add remembers the id. The first seq of an id stays (docs/protocol.md section 5).
func (o *Seqs) Add(id string, seq uint64) {
	if _, known := o.seqs[id]; known || id == "" || o.limit <= 0 {
		return
	}
	id = strings.Clone(id) // it may be a part of a whole request body
	if len(o.ring) < o.limit {
		o.ring = append(o.ring, id)
	} else {
		delete(o.seqs, o.ring[o.next])
		o.ring[o.next] = id
		o.next = (o.next + 1) % o.limit
	}
	o.seqs[id] = seq
}
