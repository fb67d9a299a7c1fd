package eventloop

import (
	"fmt"
	"net"
	"os"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// turn is how a loop makes sure that it looks at its sockets before it drains again. gnet
// runs tasks until there are none, also those that are added meanwhile (v2.9.8,
// Poller.Polling): a loop that woke itself by a task, or had another goroutine do that, could
// go from one slice of a flush to the next for seconds without reading or accepting
// anything. It did, on a core that it shared with that goroutine.
//
// So a turn is a byte in a socket that the loop itself watches, as one more connection of
// gnet's: it is found by the same epoll_wait that finds what clients have sent.
//
// Owned by its loop, but for fd, which is closed when gnet has returned.
type turn struct {
	loop  *Loop
	fd    int  // our end, which bytes are written to
	asked bool // a byte is on its way
}

var oneByte = []byte{1}

// openTurnSoon is called on the loop, when it is first seen.
func (e *Engine) openTurnSoon(l *Loop) {
	e.openingMu.Lock()
	defer e.openingMu.Unlock()
	if !e.asked.Load() { // Stop waits for those that are being opened
		e.opening.Add(1)
		go e.openTurn(l)
	}
}

// awaitTurns waits until no turn is being opened, and lets no other be.
func (e *Engine) awaitTurns() {
	e.openingMu.Lock()
	e.asked.Store(true)
	e.openingMu.Unlock()
	e.opening.Wait()
}

// openTurn gives a loop its turn. Until it is there, turns are tasks.
func (e *Engine) openTurn(l *Loop) {
	defer e.opening.Done()
	if err := e.enrollTurn(l); err != nil {
		e.opts.Log.Warn("a loop can't watch a socket of its own; it may read late under full load", "err", err)
	}
}

func (e *Engine) enrollTurn(l *Loop) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("making a pair of sockets: %w", err)
	}
	t := &turn{loop: l, fd: pair[0]}
	e.turns.Store(l, t)
	file := os.NewFile(uintptr(pair[1]), "turn")
	conn, err := net.FileConn(file)
	file.Close()
	if err != nil {
		return fmt.Errorf("making a connection of a socket: %w", err)
	}
	result, err := (*l.gnet.Load()).Enroll(gnet.NewContext(e.background, t), conn)
	if err != nil {
		conn.Close()
		return fmt.Errorf("giving gnet a connection: %w", err)
	}
	select {
	case r := <-result:
		if r.Err == nil {
			e.claimGate(l, r.Conn.Fd())
		}
		return r.Err
	case <-e.returned:
		return nil
	}
}

// closeTurns is called when gnet has returned.
func (e *Engine) closeTurns() {
	e.opening.Wait()
	e.turns.Range(func(_, t any) bool {
		unix.Close(t.(*turn).fd)
		return true
	})
}

// opened is called on the loop, when the other end is one of gnet's connections.
func (t *turn) opened() { t.loop.turn = t }

// read is called on the loop when the byte has come. The drain is a task, which gnet runs
// when it is done with this round's sockets: it may close some of them.
func (t *turn) read(conn gnet.Conn) {
	_, _ = conn.Discard(-1)
	t.asked = false
	t.loop.trigger()
}

// askForTurn has drain run again after the loop has looked at its sockets.
func (l *Loop) askForTurn() {
	t := l.turn
	if t == nil {
		l.trigger()
		return
	}
	if t.asked {
		return
	}
	t.asked = true
	if _, errno := send(int32(t.fd), oneByte); errno != 0 { // gnet has closed the other end
		t.asked = false
		l.trigger()
	}
}
