// Package poll is what eventloop knows of gnet, epoll, sockets and /proc.
package poll

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

var (
	errEnded      = errors.New("the event loops have ended by themselves")
	errNoListener = errors.New("no epoll set that watches a listener of the loops")
)

// Handler is what an Engine calls: on the connection's loop, but Writable.
type Handler interface {
	// Opened takes a connection in, and returns what Readable and Closed are called with. With nil it
	// is closed without a word, and nobody is told.
	Opened(loop int, c Conn) (client any)
	// Readable is called when gnet has read what there is. The connection is closed unless keep is true.
	Readable(client any) (keep bool)
	Closed(client any, err error)
	// Drain is called after Loop.Wake and Loop.Yield.
	Drain(loop int)
	// Writable is called from a goroutine of its own when a socket that was given to Loop.Arm has room.
	// It may come late, for a client that has gone and a slot that somebody else has.
	Writable(loop int, slot uint32)
}

// Options are what Start is given. Zero leaves a socket's option to the kernel.
type Options struct {
	Listen       string
	SendBuffer   int           // SO_SNDBUF, in bytes
	NotSentLowat int           // TCP_NOTSENT_LOWAT, in bytes
	UserTimeout  time.Duration // TCP_USER_TIMEOUT
	Log          *slog.Logger
}

// tune sets the options of a socket, or of a listener for its connections from then on. TCP_USER_TIMEOUT
// covers what pings can't: a peer that has vanished while data waits for it (tcp(7)).
func (o *Options) tune(fd int) {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(o.UserTimeout.Milliseconds()))
	if o.NotSentLowat > 0 {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, o.NotSentLowat)
	}
}

// Engine is gnet with all its loops. Its methods are safe from any goroutine.
type Engine struct {
	handler Handler
	opts    Options
	addr    netip.AddrPort
	loops   []*Loop
	watcher *watcher

	gnet   gnet.Engine
	byGnet sync.Map // gnet.EventLoop → *Loop
	joined atomic.Int32

	descriptors descriptors

	mu       sync.Mutex     // held while stopping is set, and while a loop begins to open its turn
	pauses   []*AcceptPause // guarded by mu, and set before booted is closed
	stopping atomic.Bool
	stopOnce sync.Once
	opening  sync.WaitGroup // loops that are opening their turns
	booted   chan struct{}
	returned chan struct{} // closed when gnet has returned
	done     chan struct{} // closed when nothing runs any more
	err      error         // what gnet returned; read after done
}

// New makes an engine that doesn't run yet, and has no descriptors.
func New(h Handler, loops int) *Engine {
	e := &Engine{handler: h, booted: make(chan struct{}), returned: make(chan struct{}), done: make(chan struct{})}
	for i := range loops {
		e.loops = append(e.loops, &Loop{engine: e, index: i, turn: -1})
	}
	return e
}

// Start opens the listeners and runs the loops; it is called once. A port that is in use
// and a bad address are errors, and leave nothing behind.
func (e *Engine) Start(o Options) (err error) {
	e.opts = o
	if e.watcher, err = newWatcher(); err != nil {
		return err
	}
	port, err := reservePort(o.Listen)
	if err != nil {
		e.watcher.Close()
		return err
	}
	defer port.Release()
	e.addr = port.Addr
	go e.run(port.gnetAddr())
	select {
	case <-e.booted:
	case <-e.done:
	}
	if !e.running() {
		e.watcher.Close()
		return fmt.Errorf("listening on %s: %w", o.Listen, e.err)
	}
	return nil
}

// running is whether Start has succeeded.
func (e *Engine) running() bool {
	select {
	case <-e.booted:
		return true
	default:
		return false
	}
}

func (e *Engine) run(addr string) {
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		e.watcher.Run(e.handler.Writable)
	}()
	e.err = gnet.Run((*events)(e), addr, gnet.WithOptions(gnet.Options{
		NumEventLoop: len(e.loops), ReusePort: true, ReuseAddr: true, Ticker: true,
		SocketSendBuffer: e.opts.SendBuffer, Logger: (*events)(e),
	}))
	if e.err == nil && !e.stopping.Load() {
		e.err = errEnded
	}
	close(e.returned)
	e.opening.Wait()
	for _, l := range e.loops {
		l.closeTurn()
	}
	e.watcher.Shut()
	<-watched
	close(e.done)
}

// Stop ends all connections, closes the listeners, and returns when nothing of the engine runs
// any more. It does nothing unless Start has succeeded.
func (e *Engine) Stop() {
	if !e.running() {
		return
	}
	e.stopOnce.Do(func() {
		e.mu.Lock()
		e.stopping.Store(true)
		e.mu.Unlock()
		e.opening.Wait() // gnet would leave who waits for a connection waiting
		// gnet looks twice a second for whether it has ended (v2.9.8, Engine.Stop), and gives
		// that up at once for a context that has. done tells the same, and sooner.
		ended, end := context.WithCancel(context.Background())
		end()
		_ = e.gnet.Stop(ended)
		<-e.done
		e.watcher.Close()
	})
}

// Stopping is true from the beginning of Stop on.
func (e *Engine) Stopping() bool { return e.stopping.Load() }

// Done is closed when nothing of the engine runs any more; Err tells why then.
func (e *Engine) Done() <-chan struct{} { return e.done }

// Err is why gnet has ended by itself, nil after Stop. To be called once Done is closed.
func (e *Engine) Err() error { return e.err }

// Addr is what the loops listen on, once Start has succeeded.
func (e *Engine) Addr() netip.AddrPort { return e.addr }

// Loop is the one of that index.
func (e *Engine) Loop(index int) *Loop { return e.loops[index] }

// AcceptPauses is how often loops were kept from accepting, by reason.
func (e *Engine) AcceptPauses() map[string]uint64 {
	n := make(map[string]uint64)
	for i, reason := range pauseReasonNames {
		n[reason] = 0
		e.eachPause(func(g *AcceptPause) { n[reason] += g.count(i) })
	}
	return n
}

// AcceptErrors is how many accepts have failed.
func (e *Engine) AcceptErrors() uint64 { return e.descriptors.failed.Load() }

// events is Engine as gnet sees it, and gnet's log. gnet calls OnOpen, OnTraffic and OnClose on the
// loop of the connection, and OnTick, once, on a goroutine of its own.
type events Engine

// OnBoot is called before any listener of the loops is open.
func (ev *events) OnBoot(g gnet.Engine) gnet.Action {
	ev.gnet = g
	return gnet.None
}

// OnTick is called when all loops run, whose epoll sets are small then.
func (ev *events) OnTick() (time.Duration, gnet.Action) {
	found, err := findListeners(ev.addr)
	if err == nil && len(found) != len(ev.loops) {
		err = fmt.Errorf("%w: found for %d of %d", errNoListener, len(found), len(ev.loops))
	}
	if err == nil {
		ev.mu.Lock()
		ev.pauses = found
		ev.mu.Unlock()
	} else {
		ev.opts.Log.Warn("loops can't be kept from accepting: connections and handshakes aren't paced, "+
			"and while descriptors run out the loops keep trying", "err", err)
	}
	close(ev.booted)
	return math.MaxInt64, gnet.None
}

// OnShutdown is called before gnet ends its loops and closes their descriptors, which must not
// be written to from there on. Connections end by OnClose.
func (ev *events) OnShutdown(gnet.Engine) {
	for _, l := range ev.loops {
		l.endWakes()
	}
	(*Engine)(ev).eachPause((*AcceptPause).End)
}

// OnOpen takes a connection in or refuses it.
func (ev *events) OnOpen(conn gnet.Conn) ([]byte, gnet.Action) {
	if l, ok := conn.Context().(*Loop); ok {
		l.watched = true
		return nil, gnet.None
	}
	l := (*Engine)(ev).loopFor(conn.EventLoop())
	if !l.pause.Load().inherited() {
		ev.opts.tune(conn.Fd())
	}
	client := ev.handler.Opened(l.index, Conn{conn})
	if client == nil {
		return nil, gnet.Close
	}
	conn.SetContext(client)
	trim(conn)
	return nil, gnet.None
}

// OnTraffic is called when gnet has read what there is.
func (ev *events) OnTraffic(conn gnet.Conn) gnet.Action {
	client := conn.Context()
	if l, ok := client.(*Loop); ok {
		l.turnCame(conn)
	} else if !ev.handler.Readable(client) {
		return gnet.Close
	}
	return gnet.None
}

// OnClose is called for every connection that OnOpen was called for.
func (ev *events) OnClose(conn gnet.Conn, err error) gnet.Action {
	switch client := conn.Context().(type) {
	case nil:
	case *Loop:
		client.watched = false
	default:
		ev.handler.Closed(client, err)
	}
	return gnet.None
}

// loopFor finds the Loop of a gnet loop; each gets the next one when first seen.
func (e *Engine) loopFor(el gnet.EventLoop) *Loop {
	if l, ok := e.byGnet.Load(el); ok {
		return l.(*Loop)
	}
	l := e.loops[e.joined.Add(1)-1]
	e.byGnet.Store(el, l)
	l.gnet.Store(&el)
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.stopping.Load() { // Stop waits for those that are being opened
		e.opening.Go(l.openTurn)
	}
	return l
}

// Debugf and the others log what is about gnet's insides, and so mostly debug.
func (ev *events) Debugf(format string, args ...any) { ev.log(slog.LevelDebug, format, args) }
func (ev *events) Infof(format string, args ...any)  { ev.log(slog.LevelDebug, format, args) }
func (ev *events) Warnf(format string, args ...any)  { ev.log(slog.LevelDebug, format, args) }
func (ev *events) Fatalf(format string, args ...any) { ev.log(slog.LevelError, format, args) }
func (ev *events) Errorf(format string, args ...any) {
	if format == acceptFailure {
		(*Engine)(ev).acceptFailed(args)
		return
	}
	ev.log(slog.LevelWarn, format, args)
}

func (ev *events) log(level slog.Level, format string, args []any) {
	ev.opts.Log.Log(context.Background(), level, "gnet: "+fmt.Sprintf(format, args...))
}
