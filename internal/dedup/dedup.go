// Package dedup remembers what was published lately.
package dedup

import (
	"slices"
	"strings"
	"time"
)

// What a change log remembers (docs/protocol.md section 5).
const (
	Limit = 10_000
	Age   = 24 * time.Hour
)

// Seqs remembers which seq the last so many op ids got, and for so long; the oldest go first. It is
// owned by whoever holds the publishers' lock. It is bounded in bytes because an op id
// is.
type Seqs struct {
	limit int
	age   time.Duration
	seqs  map[string]uint64
	ops   []Op // in order of arrival
}

// Op is an op id that is remembered.
type Op struct {
	ID  string
	Seq uint64
	at  time.Time
}

// New makes an empty memory of limit op ids; it remembers nothing if limit isn't
// positive.
func New(limit int, age time.Duration) *Seqs {
	return &Seqs{limit: limit, age: age, seqs: make(map[string]uint64)}
}

// Seen is the seq that the id got. The empty id stands for none and is never seen.
func (o *Seqs) Seen(id string) (seq uint64, ok bool) {
	seq, ok = o.seqs[id]
	return seq, ok
}

// Add remembers the id. The first seq of an id stays (docs/protocol.md section 5).
func (o *Seqs) Add(id string, seq uint64, at time.Time) {
	if _, known := o.seqs[id]; known || id == "" || o.limit <= 0 {
		return
	}
	if len(o.ops) == o.limit {
		o.forgetOldest()
	}
	id = strings.Clone(id) // it may be a part of a whole request body
	o.ops = append(o.ops, Op{id, seq, at})
	o.seqs[id] = seq
}

// Expire forgets what has come of age by then. Whoever looks an id up calls it before.
func (o *Seqs) Expire(now time.Time) {
	for len(o.ops) > 0 && now.Sub(o.ops[0].at) >= o.age {
		o.forgetOldest()
	}
}

// Oldest is the least seq of those remembered, when they were added in the order of their seqs.
func (o *Seqs) Oldest() (seq uint64, ok bool) {
	if len(o.ops) == 0 {
		return 0, false
	}
	return o.ops[0].Seq, true
}

// All are those remembered, in the order in which they were added.
func (o *Seqs) All() []Op { return slices.Clone(o.ops) }

// ForgetAbove forgets those with greater seqs, when they were added in the order of their seqs.
func (o *Seqs) ForgetAbove(seq uint64) {
	for n := len(o.ops); n > 0 && o.ops[n-1].Seq > seq; n-- {
		delete(o.seqs, o.ops[n-1].ID)
		o.ops[n-1] = Op{}
		o.ops = o.ops[:n-1]
	}
}

func (o *Seqs) forgetOldest() {
	delete(o.seqs, o.ops[0].ID)
	o.ops[0] = Op{} // append copies what is left when there is no room, but not before
	o.ops = o.ops[1:]
}
