package loadgen

import (
	"errors"
	"fmt"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"
)

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

// Roles says which clients of a run are which.
type Roles struct {
	Stalled float64 // share of clients that stop reading; at most MaxStalled
	Churn   bool    // every other client is transient
}

// MaxStalled leaves each worker one client at least that stays and reads: of any
// clientsPerWorker in a row at most one stalls, and two are no transients.
const (
	MaxStalled       = 0.25
	clientsPerWorker = 4
)

// of is the role of the run's client number i, counted over all workers.
func (r Roles) of(i int) role {
	switch {
	case r.stalledBelow(i+1) > r.stalledBelow(i): // spread evenly
		return limp
	case r.Churn && i%2 == 1:
		return transient
	}
	return 0
}

// stalledBelow is how many of the first n clients stop reading.
func (r Roles) stalledBelow(n int) int { return int(float64(n)*r.Stalled + 1e-9) }

// Count is how many of so many clients stop reading, and how many stay and read.
func (r Roles) Count(clients int) (stop, stay int) {
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

// untally takes a client out of what others wait for.
func (s *swarm) untally(m *member) {
	if !m.role.is(uncounted) {
		s.tally.leave(m.position.next)
	}
	m.role |= uncounted
}

// The socket of a client that is going to stall. A segment as over Ethernet has the server's
// kernel begin with a send buffer as small as over Ethernet too; with loopback's 64 KiB it
// would take megabytes before the server noticed (tcp_sndbuf_expand, net/ipv4/tcp_input.c).
const (
	limpBuffer  = 4 << 10 // SO_RCVBUF in bytes
	limpSegment = 1400    // TCP_MAXSEG in bytes
)

// makeLimp prepares a socket before it connects: the window that it offers is never large.
func makeLimp(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, limpBuffer); err != nil {
		return fmt.Errorf("SO_RCVBUF: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG, limpSegment); err != nil {
		return fmt.Errorf("TCP_MAXSEG: %w", err)
	}
	return nil
}

// listen has members of one state read, or not read, from here on.
func (s *swarm) listen(which func(*member) bool, state uint8, events uint32) error {
	for i := range s.members {
		m := &s.members[i]
		if !which(m) {
			continue
		}
		m.state = state
		if err := s.watch(unix.EPOLL_CTL_MOD, int(m.fd), int32(i), events); err != nil {
			return err
		}
	}
	return nil
}

// stall has the limp clients stop reading. Nobody waits for them from here on.
func (s *swarm) stall() error {
	return s.listen(func(m *member) bool {
		if m.state != open || !m.role.is(limp) {
			return false
		}
		s.untally(m)
		m.role |= stalled
		s.report.Stalled.Clients++
		return true
	}, deaf, 0)
}

// resumeQuiet ends reading on when nothing has come for so long.
const resumeQuiet = 2 * time.Second

// resume has the clients that stalled read on until each has had all messages below end, or
// is disconnected, or nothing comes any more.
func (s *swarm) resume(end uint64) error {
	err := s.listen(func(m *member) bool { return m.state == deaf }, open, unix.EPOLLIN)
	if err != nil {
		return err
	}
	if err = s.until(resumeQuiet, func() bool { return !s.behind(end, true) }); errors.Is(err, errStall) {
		return nil
	}
	return err
}

// turnover is the coming and leaving of a swarm's clients. Owned by its swarm.
type turnover struct {
	started bool
	rate    float64 // clients a second that leave, and that come; 0: none
	began   int64
	done    int     // exchanges since then
	leavers int     // clients that wait for the server to end the connection
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

// turnOver has those come and leave whose time it is, and returns when it is to be called
// again. What the pace doesn't allow is made up for later, and so is what finds nobody who could leave.
func (s *swarm) turnOver() (next int64) {
	t := &s.turnover
	if t.rate == 0 {
		return never
	}
	for t.due(t.done+1) <= Now() {
		victim, ok := s.victim()
		if !ok || s.pending >= s.plan.Pace || t.leavers >= s.plan.Pace {
			return Now() + int64(time.Millisecond)
		}
		t.done++
		s.leave(victim)
		s.come()
	}
	return t.due(t.done + 1)
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

// leave ends a client's connection, by turns with RST and with Close 1001. After Close it ends the
// sending side: a server that doesn't read Close frames sees the end of the stream.
func (s *swarm) leave(index int32) {
	m := &s.members[index]
	s.untally(m)
	s.connected--
	delete(s.pieces, index)
	s.report.Churn.Left++
	if s.report.Churn.Left%2 == 1 && sendNow(m, ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusGoingAway, ""))) == nil &&
		unix.Shutdown(int(m.fd), unix.SHUT_WR) == nil {
		m.state = leaving
		s.turnover.leavers++
		return
	}
	s.reset(index, m)
}

// sendNow sends a frame if the socket has room.
func sendNow(m *member, f ws.Frame) error {
	return unix.Send(int(m.fd), masked(f), unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
}

// reset ends a client's connection with RST, which leaves no port in TIME_WAIT.
func (s *swarm) reset(index int32, m *member) {
	_ = unix.SetsockoptLinger(int(m.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	s.gone(index, m)
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
	s.moves++
	s.turnover.free = append(s.turnover.free, index)
}

// calmPatience bounds the wait for the next of those who are coming and leaving.
const calmPatience = 10 * time.Second

// calm ends coming and leaving, and waits for those who are at it.
func (s *swarm) calm() error {
	s.turnover.rate = 0
	err := s.until(calmPatience, func() bool { return s.pending == 0 && s.turnover.leavers == 0 })
	if errors.Is(err, errStall) {
		s.report.Churn.Lingering += uint64(s.pending + s.turnover.leavers)
		return nil
	}
	return err
}
