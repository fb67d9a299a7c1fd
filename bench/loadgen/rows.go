package loadgen

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Phase is what is published in the scenario rows.
type Phase int

// Phases, in their order.
const (
	Subscribing Phase = iota // nothing: every row's snapshot comes
	ToRows                   // messages to rows
	ToClients                // messages to some clients
	ToAll                    // messages to everyone, as without rows
)

// rowBook is what a worker's clients should have and have had of rows. Owned by its swarm.
type rowBook struct {
	plan  *RowPlan
	first int // number of the swarm's first client
	phase Phase

	answered  []uint64   // a bit for each client and block: the subscription's snapshot came
	pending   int        // subscriptions without a snapshot
	positions []position // of each client among the messages to its rows
	direct    []uint64   // of each client: 1 + the number of its latest message of ToClients
}

// wants is whether binary messages are the book's business.
func (b *rowBook) wants() bool { return b != nil && b.phase != ToAll }

func newRowBook(plan *RowPlan, first, clients int) *rowBook {
	b := &rowBook{
		plan: plan, first: first, answered: make([]uint64, (clients*plan.Rows+63)/64),
		positions: make([]position, clients), direct: make([]uint64, clients),
	}
	for i := range b.positions {
		b.positions[i] = newPosition(0)
	}
	return b
}

// deliver checks a message of the phase that has arrived to its last byte.
func (b *rowBook) deliver(s *swarm, f frame, at int64) {
	if b.phase == ToClients {
		b.deliverDirect(s, f, at)
		return
	}
	kind, row, ok := readRowHead(f.payload)
	block, mine := b.plan.block(b.first+int(s.reading), row)
	switch {
	case !ok || !mine:
		s.report.Faults.Foreign++
	case b.phase == Subscribing && kind == rowSnapshot && len(f.payload) == RowHead:
		b.answer(s, block)
	case b.phase == ToRows && kind == rowUpdate && len(f.payload) == s.sizes.Of(0) && len(f.payload) >= RowHead+MinSize:
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
	seq, published := readStamp(f.payload[RowHead:])
	if b.plan.Target(seq) != row {
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
	if len(f.payload) != s.sizes.Of(0) || len(f.payload) < MinSize {
		s.report.Faults.Foreign++
		return
	}
	seq, published := readStamp(f.payload)
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

// lack counts what hasn't come of the messages to rows below end.
func (b *rowBook) lack(end uint64, r *Report) {
	for i := range b.positions {
		due, have := b.plan.before(b.first+i, end), b.positions[i].next
		if b.phase == ToRows && have < due {
			r.Lost += due - have
		}
	}
}

// subscribeAtOnce is how many rows a client asks for with one write.
const subscribeAtOnce = 50

// subscribe subscribes every client to its rows and waits for all snapshots; at most so many
// as most are unanswered at a time, because servers bound the questions that may wait.
func (s *swarm) subscribe(plan *RowPlan, most int) error {
	s.rows = newRowBook(plan, s.plan.first, len(s.members))
	b, most := s.rows, max(most, subscribeAtOnce)
	last, left := Now(), -1
	await := func(room int) error {
		for b.pending > most-room {
			if err := s.awaitSnapshots(&last, &left); err != nil {
				return err
			}
		}
		return nil
	}
	for block := 0; block < plan.Rows; block += subscribeAtOnce {
		for i := range s.members {
			if err := await(subscribeAtOnce); err != nil {
				return err
			}
			s.askForRows(int32(i), block, min(block+subscribeAtOnce, plan.Rows))
		}
	}
	return await(most)
}

// awaitSnapshots takes what has come. last is when pending last changed, left what it was.
func (s *swarm) awaitSnapshots(last *int64, left *int) error {
	if err := s.poll(100); err != nil {
		return err
	}
	if s.rows.pending != *left {
		*left, *last = s.rows.pending, Now()
	}
	if s.report.Faults.Any() {
		return fmt.Errorf("subscribing: %v; %s", s.report.Faults, s.report.Error)
	}
	if Now()-*last > int64(s.plan.Stall) {
		return fmt.Errorf("subscribing: %w: %d subscriptions without a snapshot for %v", errStall, *left, s.plan.Stall)
	}
	return nil
}

func (s *swarm) askForRows(index int32, from, to int) {
	b, m := s.rows, &s.members[index]
	if m.state != open {
		return
	}
	var asked []byte
	for block := from; block < to; block++ {
		if row, ok := b.plan.row(b.first+int(index), block); ok {
			asked = appendSubscribe(asked, row)
			b.pending++
		}
	}
	if err := sendAll(int(m.fd), asked); err != nil {
		s.end(index, m, err)
	}
}

// sendPatience is how long a server may take to read what one client has sent.
const sendPatience = 10 * time.Second

// sendAll sends all of b, and waits where the socket has no room.
func sendAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.SendmsgN(fd, b, nil, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
		switch {
		case err == unix.EAGAIN: //nolint:errorlint // errnos as they are
			events := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
			if ready, err := unix.Poll(events, int(sendPatience/time.Millisecond)); err == nil && ready == 0 {
				return fmt.Errorf("sending: the server reads nothing for %v", sendPatience)
			}
		case err != nil && err != unix.EINTR: //nolint:errorlint // errnos as they are
			return fmt.Errorf("sending: %w", err)
		default:
			b = b[max(n, 0):]
		}
	}
	return nil
}
