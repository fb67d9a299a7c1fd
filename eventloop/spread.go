package eventloop

import (
	"errors"
	"math"
	"net"
	"os"

	"github.com/panjf2000/gnet/v2"
)

// The kernel spreads connections over the loops' listeners by a hash (SO_REUSEPORT),
// which knows nothing of how many each has: of 1,000 clients the fullest of 8 loops has
// an eighth more than its share, and when one loop's clients have left, newcomers don't
// make up for it. So a loop that has accepted more than its share gives what it accepts
// to the one that has least, before a byte of it was read. That is a few connections of
// a hundred, and the others cost nothing.

// A loop keeps what it accepts until it is ahead of the mean by spreadSlack connections
// and one in spreadShare.
const (
	spreadSlack = 4
	spreadShare = 32
)

// movesAtMost bounds connections on their way between loops, and so does a 64th of the
// descriptors: each has one more than it counts for. At the bound a loop keeps what it
// accepts, and newcomers make up for it later.
const movesAtMost = 64

func movesAtOnce(loops, descriptors int) int {
	if loops == 1 {
		return 0
	}
	return max(1, min(descriptors/64, movesAtMost))
}

var errPeerGone = errors.New("the peer has gone")

// move is a connection on its way to another loop, and what gnet knows it by until it
// is opened there. It counts for that loop from the start.
type move struct {
	to     *Loop
	opened bool // OnOpen was called; read when gnet is done with the move
}

// movedAway is the context of a connection that lives on under another descriptor: its
// end here is nobody's.
type movedAway struct{}

// crowded is true when the loop has more than its share of all connections.
func (l *Loop) crowded() bool {
	mean := l.engine.connections.Load() / int64(len(l.engine.loops))
	return l.connections.Load() > mean+spreadSlack+mean/spreadShare
}

// emptiest is the loop with the fewest connections. One that gnet hasn't made itself
// known for can't be given any; the hash will find it.
func (e *Engine) emptiest() (least *Loop) {
	fewest := int64(math.MaxInt64)
	for _, l := range e.loops {
		if n := l.connections.Load(); n < fewest && l.gnet.Load() != nil {
			least, fewest = l, n
		}
	}
	return least
}

// giveAway moves a connection that the loop has just accepted to the loop that has the
// fewest, when this one has more than its share. gnet has to close its own descriptor of
// it then.
func (l *Loop) giveAway(conn gnet.Conn) bool {
	if len(l.engine.loops) == 1 || !l.crowded() || zoned(conn) {
		return false
	}
	e, to := l.engine, l.engine.emptiest()
	if to == nil || to == l {
		return false
	}
	select {
	case e.moving <- struct{}{}:
	default:
		return false
	}
	fd, err := conn.Dup()
	if err != nil { // out of descriptors: it can stay
		<-e.moving
		return false
	}
	conn.SetContext(movedAway{})
	l.connections.Add(-1)
	to.connections.Add(1)
	go e.move(fd, &move{to: to})
	return true
}

// zoned is true for link-local IPv6. Of a connection that it is handed, gnet recycles
// the zone's name as a buffer, though the name is package net's (v2.9.8, conn.release).
func zoned(conn gnet.Conn) bool {
	addr, ok := conn.RemoteAddr().(*net.TCPAddr)
	return ok && addr.Zone != ""
}

// move hands a descriptor to the other loop and returns when gnet has nothing of it any
// more but the connection.
func (e *Engine) move(fd int, m *move) {
	defer func() { <-e.moving }()
	conn, err := tcpConn(fd)
	if err != nil {
		e.lost(m, err)
		return
	}
	result, err := (*m.to.gnet.Load()).Enroll(gnet.NewContext(e.background, m), conn)
	if err != nil {
		conn.Close()
		e.lost(m, err)
		return
	}
	for {
		select {
		case r, more := <-result:
			if more {
				err = r.Err
				continue
			}
			if !m.opened {
				e.lost(m, err)
			}
			return
		case <-e.done: // the loops have ended by themselves, and that loop with them
			return
		}
	}
}

// tcpConn makes what gnet takes of a descriptor, which it takes over.
func tcpConn(fd int) (*net.TCPConn, error) {
	file := os.NewFile(uintptr(fd), "connection")
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok || tcp.RemoteAddr() == nil { // gnet asks for its name, and would panic
		conn.Close()
		return nil, errPeerGone
	}
	_ = tcp.SetKeepAlive(false) // which FileConn has turned on; pings do that
	return tcp, nil
}

// lost counts a connection that ended between two loops.
func (e *Engine) lost(m *move, err error) {
	cause := CauseCapacity
	if errors.Is(err, errPeerGone) {
		cause = CausePeerGone
	}
	m.to.counters.closed[cause].Add(1)
	m.to.connections.Add(-1)
	e.connections.Add(-1)
	e.checkEmpty()
}

// stopMoving waits until no connection is on its way, and lets none set out.
func (e *Engine) stopMoving() {
	for range cap(e.moving) {
		select {
		case e.moving <- struct{}{}:
		case <-e.done:
			return
		}
	}
}
