package loadgen

import (
	"bytes"
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// member states.
const (
	idle       = iota // no connection yet
	connecting        // the kernel is at it
	upgrading         // waits for the answer to the upgrade
	joining           // waits for the answer to its subscription (runner.Centrifugo)
	open              // takes frames
	deaf              // doesn't read what comes
	leaving           // has said so, and waits for the server's end
	ended             // there is no connection any more
)

// member is one client. Owned by its swarm; 32 bytes, because there may be a million.
type member struct {
	fd       int32
	state    uint8
	role     role
	position position
	began    int64 // connecting, in ns of now
}

// swarm is many clients on one epoll loop. Owned by the goroutine that runs it, but for what
// is said to be for others.
type swarm struct {
	epoll, wake int
	tasks       chan func()   // from others: what is to be done on the loop; interrupt has it looked for
	ended       chan struct{} // for others: closed when the loop has, and failure says why
	failure     error
	closing     atomic.Bool // set by others: the loop is to end
	told        progress    // for others
	members     []member
	events      []unix.EpollEvent
	buffer      []byte           // every read goes here
	pieces      map[int32][]byte // the start of a frame, or of an answer, whose rest hasn't come, by member

	plan connectPlan
	connections
	sizes      Mixture // of payloads
	recordFrom uint64  // the first message whose latency counts
	turnover   turnover
	returning  bool   // clients come back after they have lost their server
	firstSeq   uint64 // of the first change event; 0 until one has come
	tally      tally
	latency    *hdrhistogram.Histogram
	upgrades   *hdrhistogram.Histogram
	report     Report

	reading int32      // the member that is being read
	counted uint64     // deliveries, of the two below
	rows    *rowBook   // nil but in the scenario rows
	relays  *relayBook // nil but in the scenario presence
}

// progress is what a swarm tells others. Safe from any goroutine.
type progress struct {
	done, counted, connected atomic.Uint64
	changed                  chan<- struct{}
}

// tell says how far all clients are.
func (s *swarm) tell() {
	p, done, counted, connected := &s.told, s.tally.low, s.counted, uint64(s.connected)
	if p.done.Load() == done && p.counted.Load() == counted && p.connected.Load() == connected {
		return
	}
	p.done.Store(done)
	p.counted.Store(counted)
	p.connected.Store(connected)
	p.wake()
}

func (p *progress) wake() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// connections are how far connecting is. Owned by its swarm.
type connections struct {
	started, connected, failed int
	pending                    int  // between idle and open
	moved                      bool // pending or connected changed since it was last looked at
}

// readBuffer is how much a client may take in one read, in bytes.
const readBuffer = 256 << 10

func newSwarm(changed chan<- struct{}) (*swarm, error) {
	s := &swarm{
		tasks: make(chan func(), 1), ended: make(chan struct{}), told: progress{changed: changed},
		events: make([]unix.EpollEvent, 512), buffer: make([]byte, readBuffer), pieces: map[int32][]byte{},
		tally: newTally(), latency: NewHistogram(), upgrades: NewHistogram(), recordFrom: ^uint64(0),
	}
	var err error
	if s.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("making an epoll set: %w", err)
	}
	if s.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		_ = unix.Close(s.epoll)
		return nil, fmt.Errorf("making an eventfd: %w", err)
	}
	if err := s.watch(unix.EPOLL_CTL_ADD, s.wake, wakeIndex, unix.EPOLLIN); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// wakeIndex stands for the eventfd among the members' indexes.
const wakeIndex = -1

func (s *swarm) watch(op, fd int, index int32, events uint32) error {
	err := unix.EpollCtl(s.epoll, op, fd, &unix.EpollEvent{Events: events, Fd: index})
	if err != nil {
		return fmt.Errorf("watching a descriptor: %w", err)
	}
	return nil
}

func (s *swarm) close() {
	for i := range s.members {
		if st := s.members[i].state; st != idle && st != ended {
			_ = unix.Close(int(s.members[i].fd))
			s.members[i].state = ended
		}
	}
	if s.relays != nil {
		_ = unix.Close(s.relays.timer)
	}
	_ = unix.Close(s.wake)
	_ = unix.Close(s.epoll)
}

// interrupt makes poll return; the one method for other goroutines.
func (s *swarm) interrupt() { _, _ = unix.Write(s.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

// run does what others ask for until closing is set. It has its thread for itself.
func (s *swarm) run() error {
	for {
		if err := s.poll(s.turnOver()); err != nil {
			return err
		}
		if err := s.relays.send(s); err != nil {
			return err
		}
		select {
		case do := <-s.tasks:
			do()
		default:
		}
	}
}

// do calls f on the loop. Its error may also be that clients couldn't connect.
func (s *swarm) do(f func(*swarm) error) error {
	err := f(s)
	s.tell()
	if err == nil && s.failed > 0 {
		err = errors.New(s.report.Error)
	}
	return err
}

// fail notes for others why the loop has ended.
func (s *swarm) fail(why error) {
	s.failure = fmt.Errorf("a worker ended: %w", why)
	close(s.ended)
	s.told.wake()
}

// poll waits for at most so many milliseconds, -1 for ever, deals with what has come, and tells.
func (s *swarm) poll(milliseconds int) error {
	if s.closing.Load() {
		return errClosing
	}
	defer s.tell()
	n, err := unix.EpollWait(s.epoll, s.events, milliseconds)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("waiting for events: %w", err)
	}
	for _, e := range s.events[:max(n, 0)] {
		if e.Fd == wakeIndex {
			_, _ = read(s.wake, s.buffer)
			continue
		}
		m := &s.members[e.Fd]
		switch m.state {
		case connecting:
			s.established(e.Fd, m)
		case upgrading, joining, open:
			s.readable(e.Fd, m)
		case leaving:
			s.linger(e.Fd, m)
		case deaf: // only an error or the connection's end is told of
			s.end(e.Fd, m, errPeer)
		}
	}
	return nil
}

// read doesn't tell the scheduler: a read that can't block needn't.
func read(fd int, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// errPeer: the server ended the connection.
var errPeer = errors.New("the server ended the connection")

// readable reads once: what is left makes the next poll return at once, and other
// members get their turn in between.
func (s *swarm) readable(index int32, m *member) {
	n, err := read(int(m.fd), s.buffer)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR: //nolint:errorlint // errnos as they are
		return
	case err != nil:
		s.end(index, m, fmt.Errorf("reading: %w", err))
		return
	case n == 0:
		s.end(index, m, errPeer)
		return
	}
	b := s.buffer[:n]
	kept, ok := s.pieces[index]
	if ok {
		b = append(kept, b...)
		delete(s.pieces, index)
	}
	if m.state == upgrading {
		b = s.upgraded(index, m, b)
	}
	if m.state == open || m.state == joining {
		s.reading = index
		if b, err = s.take(m, b, Now()); err != nil {
			s.end(index, m, err)
			return
		}
	}
	if len(b) > 0 && (m.state == open || m.state == upgrading || m.state == joining) {
		if !ok { // else it is a copy already
			b = bytes.Clone(b)
		}
		s.pieces[index] = b
	}
}

// end closes a member's connection and notes why.
func (s *swarm) end(index int32, m *member, cause error) {
	_ = unix.Close(int(m.fd))
	delete(s.pieces, index)
	s.moved = true
	switch {
	case m.role.is(stalled): // its connection may end
		s.report.Stalled.Disconnected++
		s.connected--
		m.state = ended
		return
	case m.state == open && s.plan.Changes && !s.returning: // it will come back to where it was
		s.connected--
		m.state = ended
		return
	case m.state == open:
		s.report.Faults.Ended++
		s.connected--
		s.untally(m)
	case s.turnover.started:
		s.report.Churn.Refused++
		s.pending--
	default:
		s.failed++
		s.pending--
	}
	s.note(cause)
	m.state = ended
}
