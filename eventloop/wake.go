package eventloop

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"

	"github.com/busbar-ws/busbar/eventloop/internal/poll"
)

// waking is how gnet is told that a loop has something to do. All but yielder is safe from any
// goroutine.
type waking struct {
	gnet atomic.Pointer[gnet.EventLoop] // nil until the first connection
	// mu is held, for reading, while gnet is told of something: that is a write to a descriptor of gnet's.
	// Invariant: gnet closes it only when stopped is true and nobody holds mu. Without that a publisher
	// could write eight bytes to whatever file has got the descriptor's number by then.
	mu       sync.RWMutex
	stopped  bool        // guarded by mu
	draining atomic.Bool // the loop is in drain, and looks for itself at its end
	yielder  *yielder    // nil before there is one
}

// Run drains the loop's mailbox. It never returns an error: gnet would stop for some.
func (w wakeUp) Run(context.Context) error {
	w.loop.guard(nil, w.loop.drain)
	return nil
}

// wake has gnet run drain when the loop gets round to it. To be called by whoever put
// something into an empty mailbox. A loop that is in drain looks for itself at its end.
func (l *Loop) wake() {
	if !l.waking.draining.Load() {
		l.trigger()
	}
}

// trigger is safe from any goroutine, also while the engine stops and afterwards.
func (l *Loop) trigger() {
	l.waking.mu.RLock()
	defer l.waking.mu.RUnlock()
	if el := l.waking.gnet.Load(); el != nil && !l.waking.stopped {
		_ = (*el).Execute(l.engine.gnet.background, wakeUp{l})
	}
}

// rest ends a drain. What has come while it ran has a turn of its own.
func (l *Loop) rest(began time.Duration) {
	l.waking.draining.Store(false)
	if l.mailbox.Told() {
		l.yield()
	}
	if l.accepting.pace.TurnOver(began) {
		l.accepting.paceTimer.Stop()
		l.resumePaced()
	}
}

// gnetLog hands gnet's log lines on; they are about its insides, so most are debug.
type gnetLog struct {
	log    *slog.Logger
	engine *Engine
}

func (g gnetLog) Debugf(format string, args ...any) {
	g.log.Debug("gnet: " + fmt.Sprintf(format, args...))
}
func (g gnetLog) Infof(format string, args ...any) {
	g.log.Debug("gnet: " + fmt.Sprintf(format, args...))
}
func (g gnetLog) Warnf(format string, args ...any) {
	g.log.Debug("gnet: " + fmt.Sprintf(format, args...))
}
func (g gnetLog) Errorf(format string, args ...any) {
	if format == poll.AcceptFailure {
		g.engine.failedAccept(args)
		return
	}
	g.log.Warn("gnet: " + fmt.Sprintf(format, args...))
}
func (g gnetLog) Fatalf(format string, args ...any) {
	g.log.Error("gnet: " + fmt.Sprintf(format, args...))
}
