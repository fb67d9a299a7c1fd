package loadgen

import (
	"time"

	"golang.org/x/sys/unix"
)

// Turnover is who came and left during a run.
type Turnover struct {
	Left   uint64 // half of them with Close, the others with RST
	Came   uint64 // whose upgrade was answered
	Placed uint64 // of these, who were sent a message
	// What must not happen: who couldn't connect, who was connected at the end and missed a
	// message that was published when the server counted everyone, and who was still there
	// calmPatience after having said Close.
	Refused   uint64
	Silent    uint64
	Lingering uint64
}

func (t *Turnover) add(o Turnover) {
	t.Left += o.Left
	t.Came += o.Came
	t.Placed += o.Placed
	t.Refused += o.Refused
	t.Silent += o.Silent
	t.Lingering += o.Lingering
}

// turnover is the coming and leaving of a swarm's clients. Owned by its swarm.
type turnover struct {
	started bool
	rate    float64 // clients a second that leave, and that come; 0: none
	began   int64
	done    int     // exchanges since then
	leavers int     // who wait for the server to end the connection
	free    []int32 // members without a connection
	random  uint64
}

func (t *turnover) due(i int) int64 { return t.began + int64(float64(i)/t.rate*1e9) }

// churn has so many clients a second come and leave from here on. The upgrades that are
// recorded are those of clients that come.
func (s *swarm) churn(rate float64) {
	s.upgrades.Reset()
	s.turnover = turnover{started: true, rate: rate, began: Now(), random: uint64(s.plan.first)}
}

// turnOver has those come and leave whose time it is, and returns for how many milliseconds
// the next poll may wait. What the pace doesn't allow is made up for later, and so is what
// finds nobody who could leave.
func (s *swarm) turnOver() int {
	t := &s.turnover
	if t.rate == 0 {
		return -1
	}
	for t.due(t.done+1) <= Now() {
		victim, ok := s.victim()
		if !ok || s.pending >= s.plan.Pace || t.leavers >= s.plan.Pace {
			return 1
		}
		t.done++
		s.leave(victim)
		s.come()
	}
	return int((t.due(t.done+1)-Now())/int64(time.Millisecond)) + 1
}

// come has a client connect, in a place where there is none.
func (s *swarm) come() {
	t := &s.turnover
	if len(t.free) == 0 {
		t.free = append(t.free, int32(len(s.members)))
		s.members = append(s.members, member{})
	}
	index := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	s.members[index].role = transient | uncounted | unplaced
	s.start(index)
}

// victim picks a connected transient client, each about as likely as the others.
func (s *swarm) victim() (int32, bool) {
	t := &s.turnover
	t.random = scatter(t.random)
	first := int(t.random % uint64(len(s.members)))
	for i := range s.members {
		at := (first + i) % len(s.members)
		if m := &s.members[at]; m.state == open && m.role.is(transient) {
			return int32(at), true
		}
	}
	return 0, false
}

// leave ends a client's connection, by turns with Close and with RST.
func (s *swarm) leave(index int32) {
	m := &s.members[index]
	s.untally(m)
	s.connected--
	delete(s.pieces, index)
	s.report.Churn.Left++
	if s.report.Churn.Left%2 == 1 && sayClose(int(m.fd)) == nil {
		m.state = leaving
		s.turnover.leavers++
		return
	}
	s.reset(index, m)
}

// reset ends a client's connection with RST, which leaves no port in TIME_WAIT.
func (s *swarm) reset(index int32, m *member) {
	_ = unix.SetsockoptLinger(int(m.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	s.gone(index, m)
}

// sayClose sends Close 1001 and ends the sending side: a server that doesn't read Close
// frames sees the end of the stream.
func sayClose(fd int) error {
	frame := []byte{0x80 | opClose, 0x80 | 2, 0, 0, 0, 0, 1001 >> 8, 1001 & 0xFF}
	if err := unix.Send(fd, frame, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT); err != nil {
		return err
	}
	return unix.Shutdown(fd, unix.SHUT_WR)
}

// linger reads what comes behind a client's Close until the server ends the connection.
func (s *swarm) linger(index int32, m *member) {
	n, err := read(int(m.fd), s.buffer)
	if err == unix.EAGAIN || err == unix.EINTR || n > 0 { //nolint:errorlint // errnos as they are
		return
	}
	s.turnover.leavers--
	s.gone(index, m)
}

// gone gives a member's place to the next one that comes.
func (s *swarm) gone(index int32, m *member) {
	_ = unix.Close(int(m.fd))
	m.state = idle
	s.turnover.free = append(s.turnover.free, index)
}

// calmPatience bounds the wait for those who are coming and leaving.
const calmPatience = 10 * time.Second

// calm ends coming and leaving, and waits for those who are at it.
func (s *swarm) calm() error {
	s.turnover.rate = 0
	for began := Now(); s.pending > 0 || s.turnover.leavers > 0; {
		if Now()-began > int64(calmPatience) {
			s.report.Churn.Lingering += uint64(s.pending + s.turnover.leavers)
			return nil
		}
		if err := s.poll(100); err != nil {
			return err
		}
	}
	return nil
}
