package loadgen

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"github.com/busbar-ws/busbar/bench/runner"
)

// RowPlan says which client is subscribed to which row, and which row a message goes to, so that a client that gets a
// message can tell whether it should have, and how many it should have had before. Immutable once prepared; safe from
// any goroutine.
//
// Rows stand in as many blocks as a client has rows. In each block clients are shuffled anew, and so many in a row as a
// row has subscribers have one together. The few that are left over at the end subscribe to nothing.
type RowPlan struct {
	Clients     int
	Rows        int // of each client
	Subscribers int // of each row

	block   int      // rows in a block
	own     []uint32 // of each block and client: its row in the block, if it has any
	members []uint32 // of each row: its clients
}

// maxSubscriptions bounds a plan: rows' ids have eight digits.
const maxSubscriptions = 100_000_000

// Validate is an error unless the plan is possible.
func (p *RowPlan) Validate() error {
	if p.Rows < 1 || p.Subscribers < 1 || p.Subscribers > p.Clients {
		return fmt.Errorf("%w: rows: %d of each client, %d subscribers, %d clients: at least 1, and no more subscribers than clients",
			runner.ErrOptions, p.Rows, p.Subscribers, p.Clients)
	}
	if p.Clients > maxSubscriptions/p.Rows {
		return fmt.Errorf("%w: rows: %d clients with %d each; at most %d together", runner.ErrOptions, p.Clients, p.Rows, maxSubscriptions)
	}
	return nil
}

// Prepare draws who has what: the same each time.
func (p *RowPlan) Prepare() error {
	if err := p.Validate(); err != nil {
		return err
	}
	p.block = p.Clients / p.Subscribers
	with := p.block * p.Subscribers
	p.own, p.members = make([]uint32, p.Rows*with), make([]uint32, p.Rows*with)
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
	for b := range p.Rows {
		own, members := p.own[b*with:][:with], p.members[b*with:][:with]
		for i := range members {
			members[i] = uint32(i)
		}
		random.Shuffle(with, func(i, j int) { members[i], members[j] = members[j], members[i] })
		for i, client := range members {
			own[client] = uint32(i / p.Subscribers)
		}
	}
	return nil
}

// Total is how many rows there are.
func (p *RowPlan) Total() uint64 { return uint64(p.block * p.Rows) }

// Subscriptions is how many all clients have together.
func (p *RowPlan) Subscriptions() int { return len(p.members) }

// row is the one that a client has in a block; ok is false when it has none.
func (p *RowPlan) row(client, block int) (row uint64, ok bool) {
	if with := p.block * p.Subscribers; client < with {
		return uint64(block*p.block) + uint64(p.own[block*with+client]), true
	}
	return 0, false
}

// mine is whether a row is one of a client's, and in which block.
func (p *RowPlan) mine(client int, row uint64) (block int, ok bool) {
	if row >= p.Total() {
		return 0, false
	}
	block = int(row) / p.block
	own, ok := p.row(client, block)
	return block, ok && own == row
}

// Members are the clients of a row.
func (p *RowPlan) Members(row uint64) []uint32 {
	return p.members[int(row)*p.Subscribers:][:p.Subscribers]
}

// Target is the row that a message goes to: each row once, and then all of that again.
func (p *RowPlan) Target(seq uint64) (row uint64) { return seq % p.Total() }

// before is how many of the messages below seq go to rows of a client.
func (p *RowPlan) before(client int, seq uint64) uint64 {
	at := p.Target(seq)
	block := int(at) / p.block
	own, ok := p.row(client, block)
	if !ok {
		return 0
	}
	n := seq/p.Total()*uint64(p.Rows) + uint64(block)
	if own < at {
		n++
	}
	return n
}

// Row frames (docs/protocol.md section 3) as the bench uses them: one entity, and ids of eight digits.
const (
	rowSnapshot = 0x10
	rowUpdate   = 0x11

	rowName   = "\x00\x04Item\x00\x08"
	rowDigits = 8
	RowHead   = 1 + len(rowName) + rowDigits
)

// AppendUpdate appends the head of an update of a row.
func AppendUpdate(b []byte, row uint64) []byte { return appendRowHead(b, rowUpdate, row) }

func appendRowHead(b []byte, kind byte, row uint64) []byte {
	return fmt.Appendf(append(b, kind), "%s%0*d", rowName, rowDigits, row)
}

// readRow finds out to which row of a client a frame of some kind is; ok is false when it is to none.
func (s *swarm) readRow(frame []byte, kind byte) (row uint64, block int, ok bool) {
	if len(frame) < RowHead || frame[0] != kind || !bytes.HasPrefix(frame[1:], []byte(rowName)) {
		return 0, 0, false
	}
	row, err := strconv.ParseUint(string(frame[RowHead-rowDigits:RowHead]), 10, 64)
	if err != nil {
		return 0, 0, false
	}
	block, ok = s.rows.mine(s.plan.first+int(s.reading), row)
	return row, block, ok
}

// readUpdate reads a message to a row. All that go to one client's rows have consecutive
// numbers for it: which one this should be the plan knows.
func (s *swarm) readUpdate(frame []byte) (a message, ok bool) {
	row, _, ok := s.readRow(frame, rowUpdate)
	if !ok || len(frame) != s.sizes.Of(0) || len(frame) < RowHead+MinSize {
		return a, false
	}
	a.seq, a.published = readStamp(frame[RowHead:])
	a.number = s.rows.before(s.plan.first+int(s.reading), a.seq)
	return a, s.rows.Target(a.seq) == row
}

// answer notes the snapshot of a subscription, which is empty and comes once.
func (s *swarm) answer(frame []byte) {
	_, block, ok := s.readRow(frame, rowSnapshot)
	bit := int(s.reading)*s.rows.Rows + block
	switch {
	case !ok || len(frame) != RowHead:
		s.report.Faults.Foreign++
	case s.answered[bit/64]>>(bit%64)&1 != 0:
		s.report.Faults.Repeated++
	default:
		s.answered[bit/64] |= 1 << (bit % 64)
		s.unanswered--
		s.counted++
		s.moves++
	}
}

// expect has clients expect what a phase publishes, from its first message on.
func (s *swarm) expect(phase Phase) error {
	s.phase = phase
	s.latency.Reset()
	for i := range s.members {
		s.members[i].position = newPosition(0)
	}
	return nil
}

// subscribeAtOnce is how many rows a client asks for with one write.
const subscribeAtOnce = 50

// subscribe subscribes every client to its rows and waits for all snapshots; at most so many
// as most are unanswered at a time, because servers bound the questions that may wait.
func (s *swarm) subscribe(plan *RowPlan, most int) error {
	s.phase, s.rows, s.answered = subscribing, plan, make([]uint64, (len(s.members)*plan.Rows+63)/64)
	most = max(most, subscribeAtOnce)
	block, next := 0, 0
	err := s.until(s.plan.Stall, func() bool {
		for block < plan.Rows && s.unanswered <= most-subscribeAtOnce {
			s.askForRows(int32(next), block, min(block+subscribeAtOnce, plan.Rows))
			if next++; next == len(s.members) {
				next, block = 0, block+subscribeAtOnce
			}
		}
		return s.report.Faults.Any() || s.unanswered == 0 && block >= plan.Rows
	})
	switch {
	case err != nil:
		return fmt.Errorf("%d subscriptions without a snapshot: %w", s.unanswered, err)
	case s.report.Faults.Any():
		return fmt.Errorf("subscribing: %v; %s", s.report.Faults, s.report.Error)
	}
	return nil
}

// askForRows subscribes a client to its rows of some blocks (docs/protocol.md section 2).
func (s *swarm) askForRows(index int32, from, to int) {
	m := &s.members[index]
	if m.state != open {
		return
	}
	var asked []byte
	for block := from; block < to; block++ {
		if row, ok := s.rows.row(s.plan.first+int(index), block); ok {
			text := fmt.Appendf(nil, `{"type":"crdt-subscribe","entity":"Item","rowId":"%0*d"}`, rowDigits, row)
			asked = append(asked, masked(ws.NewTextFrame(text))...)
			s.unanswered++
		}
	}
	if err := sendAll(int(m.fd), asked); err != nil {
		s.lose(index, m, err)
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
