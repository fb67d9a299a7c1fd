package bench

import (
	"fmt"
	"time"
)

// What a worker is told to do in the scenario rows.
const (
	rowsSubscribe = "subscribe" // all clients, to all their rows
	rowsPublish   = "rows"      // messages to rows are coming
	rowsDirect    = "direct"    // messages to some clients are coming
	rowsBroadcast = "broadcast" // messages to everyone are coming, as in a fan-out
	rowsReport    = "report"    // messages to rows below End were published: report
)

type rowOrder struct {
	Do      string  `json:"do"`
	Plan    rowPlan `json:"plan"`              // with rowsSubscribe
	Pending int     `json:"pending,omitempty"` // subscriptions of the worker that may be unanswered
	Stall   int64   `json:"stall,omitempty"`   // ns without a snapshot end it
	End     uint64  `json:"end,omitempty"`
}

// rowBook is what a worker's clients should have and have had of rows. Owned by its swarm.
type rowBook struct {
	plan  rowPlan
	first int    // number of the swarm's first client
	phase string // one of the above

	answered  []uint64   // a bit for each client and block: the subscription's snapshot came
	pending   int        // subscriptions without a snapshot
	positions []position // of each client among the messages to its rows
	direct    []uint64   // of each client: 1 + the number of its latest message of rowsDirect
}

// wants is whether binary messages are the book's business.
func (b *rowBook) wants() bool { return b != nil && b.phase != rowsBroadcast }

func newRowBook(plan rowPlan, first, clients int) *rowBook {
	b := &rowBook{
		plan: plan, first: first, answered: make([]uint64, (clients*plan.Rows+63)/64),
		positions: make([]position, clients), direct: make([]uint64, clients),
	}
	for i := range b.positions {
		b.positions[i] = newPosition(0)
	}
	return b
}

// obeyRows does as it is told; told is called now and then when that takes a while.
func (s *swarm) obeyRows(o *rowOrder, told func()) (Report, error) {
	switch {
	case o == nil || s.rows == nil && o.Do != rowsSubscribe:
		return Report{}, fmt.Errorf("rows: there is no plan")
	case o.Do == rowsReport:
		return s.reportRows(o.End)
	case o.Do == rowsSubscribe:
		if err := o.Plan.prepare(); err != nil {
			return Report{}, err
		}
		s.rows = newRowBook(o.Plan, s.plan.First, len(s.members))
		s.rows.phase = o.Do
		return s.report, s.subscribeRows(o, told)
	}
	s.rows.phase = o.Do
	s.latency.Reset()
	return Report{}, nil
}

// deliver checks a message of the phase that has arrived to its last byte.
func (b *rowBook) deliver(s *swarm, f frame, at int64) {
	if b.phase == rowsDirect {
		b.deliverDirect(s, f, at)
		return
	}
	kind, row, ok := readRowHead(f.head)
	block, mine := b.plan.block(b.first+int(s.reading), row)
	switch {
	case !ok || !mine:
		s.report.Faults.Foreign++
	case b.phase == rowsSubscribe && kind == rowSnapshot && f.size == rowHeadSize:
		b.answer(s, block)
	case b.phase == rowsPublish && kind == rowUpdate && f.size == s.sizes.of(0) && f.size >= rowHeadSize+MinSize:
		b.update(s, row, f, at)
	default:
		s.report.Faults.Foreign++
	}
}

// answer notes the snapshot of a subscription, which is to come once.
func (b *rowBook) answer(s *swarm, block int) {
	bit := int(s.reading)*b.plan.Rows + block
	if b.answered[bit/64]>>(bit%64)&1 != 0 {
		s.report.Faults.Repeated++
		return
	}
	b.answered[bit/64] |= 1 << (bit % 64)
	b.pending--
	s.counted++
}

// update notes a message to a row. All that go to one client's rows have consecutive
// numbers for it: which one this should be the plan knows.
func (b *rowBook) update(s *swarm, row uint64, f frame, at int64) {
	seq, published := readStamp(f.head[rowHeadSize:])
	if b.plan.target(seq) != row {
		s.report.Faults.Foreign++
		return
	}
	rank := b.plan.before(b.first+int(s.reading), seq)
	if b.positions[s.reading].take(rank, &s.report.Faults) {
		s.count(seq, published, at)
	}
}

// deliverDirect takes a message to some clients. Which ones is the server's choice, so that
// what a client is sent has to be in order, and how many get it is counted in the end.
func (b *rowBook) deliverDirect(s *swarm, f frame, at int64) {
	if f.size != s.sizes.of(0) || f.size < MinSize {
		s.report.Faults.Foreign++
		return
	}
	seq, published := readStamp(f.head)
	switch latest := &b.direct[s.reading]; {
	case seq+1 > *latest:
		*latest = seq + 1
		s.count(seq, published, at)
	case seq+1 == *latest:
		s.report.Faults.Repeated++
	default:
		s.report.Faults.Disordered++
	}
}

// count is for a delivery that is right.
func (s *swarm) count(seq uint64, published, at int64) {
	s.counted++
	s.report.Deliveries++
	if seq >= s.recordFrom {
		record(s.latency, at-published)
	}
}

// listen goes on taking what comes for a while: what was sent twice, say.
func (s *swarm) listen(d time.Duration) error {
	for deadline := now() + int64(d); now() < deadline; {
		if err := s.poll(int((deadline - now() + 999_999) / 1_000_000)); err != nil {
			return err
		}
	}
	return nil
}

// reportRows is the report with what hasn't come of the messages to rows below end.
func (s *swarm) reportRows(end uint64) (Report, error) {
	if err := s.listen(settle); err != nil {
		return Report{}, err
	}
	r := s.report
	for i := range s.rows.positions {
		due, have := s.rows.plan.before(s.rows.first+i, end), s.rows.positions[i].next
		if s.rows.phase == rowsPublish && have < due {
			r.Lost += due - have
		}
	}
	var err error
	if r.Latency, err = s.latency.EncodeV2(); err != nil {
		return Report{}, fmt.Errorf("encoding latencies: %w", err)
	}
	return r, nil
}
