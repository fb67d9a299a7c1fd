package eventloop

import (
	"fmt"
	"net"
	"os"
	"sync"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"github.com/busbar-ws/busbar/eventloop/internal/poll"
)

// yielder is how a loop makes sure that it looks at its sockets before it drains again. gnet
// runs tasks until there are none, also those that are added meanwhile (v2.9.8,
// Poller.Polling): a loop that woke itself by a task, or had another goroutine do that, could
// go from one slice of a flush to the next for seconds without reading or accepting
// anything. It did, on a core that it shared with that goroutine.
//
// So a loop yields by a byte in a socket that the loop itself watches, as one more connection of
// gnet's: it is found by the same epoll_wait that finds what clients have sent.
//
// Owned by its loop, but for fd, which is closed when gnet has returned.
type yielder struct {
	loop  *Loop
	fd    int  // our end, which bytes are written to
	asked bool // a byte is on its way
}

// yielders are those of all loops. Safe from any goroutine.
type yielders struct {
	mu      sync.Mutex     // held while lifecycle.stopping is set, and while a yielder begins to be opened
	opening sync.WaitGroup // yielders that are being opened
	all     sync.Map       // *Loop → *yielder
}

var oneByte = []byte{1}

// openYielderSoon is called on the loop, when it is first seen.
func (e *Engine) openYielderSoon(l *Loop) {
	e.yielders.mu.Lock()
	defer e.yielders.mu.Unlock()
	if !e.lifecycle.stopping.Load() { // Stop waits for those that are being opened
		e.yielders.opening.Add(1)
		go e.openYielder(l)
	}
}

// awaitYielders waits until no yielder is being opened, and lets no other be.
func (e *Engine) awaitYielders() {
	e.yielders.mu.Lock()
	e.lifecycle.stopping.Store(true)
	e.yielders.mu.Unlock()
	e.yielders.opening.Wait()
}

// openYielder gives a loop its yielder. Until it is there, a loop yields by tasks.
func (e *Engine) openYielder(l *Loop) {
	defer e.yielders.opening.Done()
	if err := e.enrollYielder(l); err != nil {
		e.opts.Log.Warn("a loop can't watch a socket of its own; it may read late under full load", "err", err)
	}
}

func (e *Engine) enrollYielder(l *Loop) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("making a pair of sockets: %w", err)
	}
	t := &yielder{loop: l, fd: pair[0]}
	e.yielders.all.Store(l, t)
	file := os.NewFile(uintptr(pair[1]), "turn")
	conn, err := net.FileConn(file)
	file.Close()
	if err != nil {
		return fmt.Errorf("making a connection of a socket: %w", err)
	}
	result, err := (*l.waking.gnet.Load()).Enroll(gnet.NewContext(e.gnet.background, t), conn)
	if err != nil {
		conn.Close()
		return fmt.Errorf("giving gnet a connection: %w", err)
	}
	select {
	case r := <-result:
		if r.Err == nil {
			e.claimAcceptPause(l, r.Conn.Fd())
		}
		return r.Err
	case <-e.lifecycle.returned:
		return nil
	}
}

// closeYielders is called when gnet has returned.
func (e *Engine) closeYielders() {
	e.yielders.opening.Wait()
	e.yielders.all.Range(func(_, t any) bool {
		unix.Close(t.(*yielder).fd)
		return true
	})
}

// opened is called on the loop, when the other end is one of gnet's connections.
func (t *yielder) opened() { t.loop.waking.yielder = t }

// read is called on the loop when the byte has come. The drain is a task, which gnet runs
// when it is done with this round's sockets: it may close some of them.
func (t *yielder) read(conn gnet.Conn) {
	_, _ = conn.Discard(-1)
	t.asked = false
	t.loop.trigger()
}

// yield has drain run again after the loop has looked at its sockets.
func (l *Loop) yield() {
	l.accepting.pace.More()
	t := l.waking.yielder
	if t == nil {
		l.trigger()
		return
	}
	if t.asked {
		return
	}
	t.asked = true
	if n, _ := poll.Send(int32(t.fd), oneByte); n == 0 { // gnet has closed the other end
		t.asked = false
		l.trigger()
	}
}
