package bench

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// subscribeAtOnce is how many rows a client asks for with one write.
const subscribeAtOnce = 50

// subscribeRows subscribes every client to its rows and waits for all snapshots; at most so
// many are unanswered at a time, because servers bound the questions that may wait.
func (s *swarm) subscribeRows(o *rowOrder, told func()) error {
	b, most := s.rows, max(o.Pending, subscribeAtOnce)
	last, left := now(), -1
	for block := 0; block < b.plan.Rows; block += subscribeAtOnce {
		for i := range s.members {
			for b.pending+subscribeAtOnce > most {
				if err := s.awaitSnapshots(o.Stall, &last, &left); err != nil {
					return err
				}
				told()
			}
			s.askForRows(int32(i), block, min(block+subscribeAtOnce, b.plan.Rows))
		}
	}
	for b.pending > 0 {
		if err := s.awaitSnapshots(o.Stall, &last, &left); err != nil {
			return err
		}
		told()
	}
	return nil
}

// awaitSnapshots takes what has come. last is when pending last changed, left what it was.
func (s *swarm) awaitSnapshots(stall int64, last *int64, left *int) error {
	if err := s.poll(100); err != nil {
		return err
	}
	if s.rows.pending != *left {
		*left, *last = s.rows.pending, now()
	}
	if s.report.Faults.Any() {
		return fmt.Errorf("subscribing: %v; %s", s.report.Faults, s.report.Error)
	}
	if now()-*last > stall {
		return fmt.Errorf("subscribing: %w: %d subscriptions without a snapshot for %v", errStall, *left, time.Duration(stall))
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
