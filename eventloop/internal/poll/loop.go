package poll

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// Loop is one of gnet's loops. Yield is for its own goroutine, everything else safe from any.
//
// A loop has a turn: a socket that it watches itself, as one more connection of gnet's, and by whose
// other end it makes sure that it looks at its sockets before it drains again. gnet
// runs tasks until there are none, also those that are added meanwhile (v2.9.8,
// Poller.Polling): a loop that woke itself by a task, or had another goroutine do that, could
// go from one slice of a flush to the next for seconds without reading or accepting
// anything. It did, on a core that it shared with that goroutine.
type Loop struct {
	engine *Engine
	index  int
	gnet   atomic.Pointer[gnet.EventLoop] // nil until the first connection
	pause  atomic.Pointer[AcceptPause]    // nil: not known yet, or there is none

	// mu is held, for reading, while gnet is told of something: that is a write to a descriptor of gnet's.
	// Invariant: gnet closes it only when ended is true and nobody holds mu. Without that a publisher
	// could write eight bytes to whatever file has got the descriptor's number by then.
	mu    sync.RWMutex
	ended bool // guarded by mu

	turn    int32 // our end, which bytes are written to; closed when gnet has returned
	watched bool  // gnet watches the other end. Owned by the loop
	asked   bool  // a byte is on its way. Owned by the loop
}

// Joined is true from the loop's first connection on. Until then Wake does nothing: there is
// nobody whom it could be for.
func (l *Loop) Joined() bool { return l.gnet.Load() != nil }

// AcceptPause keeps the loop from accepting.
func (l *Loop) AcceptPause() *AcceptPause { return l.pause.Load() }

// Arm asks for one call of Handler.Writable. again is whether the socket was armed before.
func (l *Loop) Arm(fd int32, slot uint32, again bool) error {
	return l.engine.watcher.Arm(fd, l.index, slot, again)
}

// Wake has gnet call Handler.Drain when the loop gets round to it, also while the engine stops
// and afterwards, when nothing comes of it.
func (l *Loop) Wake() {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if el := l.gnet.Load(); el != nil && !l.ended {
		_ = (*el).Execute(context.Background(), (*drain)(l))
	}
}

// drain is a Loop as a task of gnet's.
type drain Loop

// Run never returns an error: gnet would stop for some.
func (d *drain) Run(context.Context) error {
	d.engine.handler.Drain(d.index)
	return nil
}

// endWakes waits for a wake-up that is under way, and lets no other begin.
func (l *Loop) endWakes() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
}

var oneByte = []byte{1}

// Yield has Handler.Drain called again after the loop has looked at its sockets. Until its turn is
// there, it may not look.
func (l *Loop) Yield() {
	if !l.watched {
		l.Wake()
		return
	}
	if l.asked {
		return
	}
	n, _ := Send(l.turn, oneByte)
	if l.asked = n == 1; !l.asked { // gnet has closed the other end
		l.Wake()
	}
}

// Yields is whether Yield has the loop look at its sockets by now.
func (l *Loop) Yields() bool { return l.watched }

// turnCame is called on the loop when the byte has come. The drain is a task, which gnet runs
// when it is done with this round's sockets: it may close some of them.
func (l *Loop) turnCame(conn gnet.Conn) {
	_, _ = conn.Discard(-1)
	l.asked = false
	l.Wake()
}

func (l *Loop) openTurn() {
	if err := l.enrollTurn(); err != nil {
		l.engine.opts.Log.Warn("a loop can't watch a socket of its own; it may read late under full load", "err", err)
	}
}

func (l *Loop) enrollTurn() error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("making a pair of sockets: %w", err)
	}
	l.turn = int32(pair[0])
	file := os.NewFile(uintptr(pair[1]), "turn")
	conn, err := net.FileConn(file)
	file.Close()
	if err != nil {
		return fmt.Errorf("making a connection of a socket: %w", err)
	}
	result, err := (*l.gnet.Load()).Enroll(gnet.NewContext(context.Background(), l), conn)
	if err != nil {
		conn.Close()
		return fmt.Errorf("giving gnet a connection: %w", err)
	}
	select {
	case r := <-result:
		if r.Err == nil {
			l.findPause(r.Conn.Fd())
		}
		return r.Err
	case <-l.engine.returned:
		return nil
	}
}

// findPause gives the loop the AcceptPause whose epoll set watches a socket that only this loop
// has: gnet doesn't say which of its sets is which loop's.
func (l *Loop) findPause(fd int) {
	select {
	case <-l.engine.booted:
		g := l.engine.claimPause(fd)
		if g != nil {
			g.inherit(&l.engine.opts)
		}
		if l.pause.Store(g); g == nil && len(l.engine.pauses) > 0 { // without any, that was logged
			l.engine.opts.Log.Warn("a loop can't keep newcomers outside: its epoll set wasn't found", "loop", l.index)
		}
	case <-l.engine.returned:
	}
}

func (l *Loop) closeTurn() {
	if l.turn >= 0 {
		unix.Close(int(l.turn))
	}
}
