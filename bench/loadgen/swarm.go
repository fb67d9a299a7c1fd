package loadgen

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"
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
	began    int64 // connecting, in ns of Now
}

// swarm is many clients on one epoll loop. Owned by the goroutine that runs it, but for its mailbox.
type swarm struct {
	poller
	mailbox
	members []member
	pieces  map[int32][]byte // the start of a frame, or of an answer, whose rest hasn't come, by member
	reading int32            // the member that is being read

	plan connectPlan
	connections
	turnover turnover

	expectation
	relays   relayBook
	tally    tally
	counted  uint64 // deliveries of phases in which messages don't come to everyone
	moves    uint64 // grows with whatever until waits for
	latency  *hdrhistogram.Histogram
	upgrades *hdrhistogram.Histogram
	report   Report
}

// poller is what a loop waits with.
type poller struct {
	epoll, wake, timer int
	armed              int64 // when the timer wakes the loop
	events             []unix.EpollEvent
	buffer             []byte // every read goes here
}

// mailbox is what others know of a swarm. Safe from any goroutine.
type mailbox struct {
	tasks   chan func()   // to be done on the loop; interrupt has it looked for
	closing atomic.Bool   // the loop is to end
	ended   chan struct{} // closed when the loop has, and failure says why
	failure error

	done, told, open atomic.Uint64 // messages that all clients have, counted deliveries, connected clients
	changed          chan<- struct{}
}

// connections are how far connecting is. Owned by its swarm.
type connections struct {
	connected, failed int
	pending           int  // between idle and open
	returning         bool // clients come back after they have lost their server
}

// readBuffer is how much a client may take in one read, in bytes.
const readBuffer = 256 << 10

func newSwarm(changed chan<- struct{}) (s *swarm, err error) {
	s = &swarm{
		mailbox: mailbox{tasks: make(chan func(), 1), ended: make(chan struct{}), changed: changed},
		poller: poller{
			epoll: -1, wake: -1, timer: -1, armed: never, events: make([]unix.EpollEvent, 512), buffer: make([]byte, readBuffer),
		},
		pieces: map[int32][]byte{}, expectation: expectation{recordFrom: math.MaxUint64},
		tally: newTally(), latency: NewHistogram(), upgrades: NewHistogram(),
	}
	if s.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err == nil {
		s.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	}
	if err == nil {
		s.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	}
	for _, fd := range []int{s.wake, s.timer} {
		if err == nil {
			err = s.watch(unix.EPOLL_CTL_ADD, fd, wakeIndex, unix.EPOLLIN)
		}
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("making an epoll loop: %w", err)
	}
	return s, nil
}

// wakeIndex stands for the eventfd and the timer among the members' indexes.
const wakeIndex = -1

func (p *poller) watch(op, fd int, index int32, events uint32) error {
	err := unix.EpollCtl(p.epoll, op, fd, &unix.EpollEvent{Events: events, Fd: index})
	if err != nil {
		return fmt.Errorf("watching a descriptor: %w", err)
	}
	return nil
}

// never is no time of Now.
const never = math.MaxInt64

// wakeAt has poll return at a time.
func (p *poller) wakeAt(at int64) error {
	if at == p.armed {
		return nil
	}
	p.armed = at
	var timer unix.ItimerSpec // off
	if at != never {
		timer.Value = unix.NsecToTimespec(max(at-Now(), 1))
	}
	if err := unix.TimerfdSettime(p.timer, 0, &timer, nil); err != nil {
		return fmt.Errorf("setting a timer: %w", err)
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
	for _, fd := range []int{s.epoll, s.wake, s.timer} {
		_ = unix.Close(fd)
	}
}

// interrupt makes poll return; it is for other goroutines.
func (s *swarm) interrupt() { _, _ = unix.Write(s.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

var errClosing = errors.New("the load is closed")

// run does what others ask for until closing is set. It has its thread for itself.
func (s *swarm) run() error {
	exactTimers()
	for {
		if err := s.wakeAt(min(s.turnOver(), s.send())); err != nil {
			return err
		}
		if err := s.poll(-1); err != nil {
			return err
		}
		for len(s.tasks) > 0 {
			(<-s.tasks)()
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

// end notes for others why the loop has ended.
func (b *mailbox) end(why error) {
	b.failure = fmt.Errorf("a worker ended: %w", why)
	close(b.ended)
	b.tellChange()
}

func (b *mailbox) tellChange() {
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// tell says how far all clients are.
func (s *swarm) tell() {
	b, connected := &s.mailbox, uint64(s.connected)
	if b.done.Load() != s.tally.low || b.told.Load() != s.counted || b.open.Load() != connected {
		b.done.Store(s.tally.low)
		b.told.Store(s.counted)
		b.open.Store(connected)
		b.tellChange()
	}
}

var errStall = errors.New("nothing happened any more")

// until polls until done is true, and fails with errStall when nothing moves for as long as patience.
func (s *swarm) until(patience time.Duration, done func() bool) error {
	for last, was := Now(), s.moves; !done(); {
		if err := s.poll(1); err != nil {
			return err
		}
		if s.moves != was {
			last, was = Now(), s.moves
		}
		if Now()-last > int64(patience) {
			return fmt.Errorf("%w for %v", errStall, patience)
		}
	}
	return nil
}

// poll waits for at most so many milliseconds, -1 for ever, deals with what has come, and tells.
func (s *swarm) poll(milliseconds int) error {
	if s.closing.Load() {
		return errClosing
	}
	n, err := unix.EpollWait(s.epoll, s.events, milliseconds)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("waiting for events: %w", err)
	}
	for _, e := range s.events[:max(n, 0)] {
		if e.Fd == wakeIndex {
			_, _ = read(s.wake, s.buffer)
			if _, err := read(s.timer, s.buffer); err == nil {
				s.armed = 0
			}
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
			s.lose(e.Fd, m, errPeer)
		}
	}
	s.tell()
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
		s.lose(index, m, fmt.Errorf("reading: %w", err))
		return
	case n == 0:
		s.lose(index, m, errPeer)
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
			s.lose(index, m, err)
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

// lose closes a member's connection, which has failed or ended, and notes why.
func (s *swarm) lose(index int32, m *member, cause error) {
	_ = unix.Close(int(m.fd))
	delete(s.pieces, index)
	s.moves++
	was := m.state
	m.state = ended
	if was == open || was == deaf {
		s.connected--
	} else {
		s.pending--
	}
	switch {
	case m.role.is(stalled): // its connection may end
		s.report.Stalled.Disconnected++
		return
	case was == open && s.plan.Changes && !s.returning: // it will come back to where it was
		return
	case was == open:
		s.report.Faults.Ended++
		s.untally(m)
	case s.turnover.started:
		s.report.Churn.Refused++
	default:
		s.failed++
	}
	s.note(cause)
}

// note keeps the first thing that went wrong.
func (s *swarm) note(cause error) {
	if s.report.Error == "" {
		s.report.Error = cause.Error()
	}
}
