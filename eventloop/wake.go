package eventloop

import (
	"context"
	"fmt"
	"log/slog"
)

// Run drains the loop's mailbox. It never returns an error: gnet would stop for some.
func (w wakeUp) Run(context.Context) error {
	w.loop.guard(nil, w.loop.drain)
	return nil
}

// wake has gnet run drain when the loop gets round to it. To be called by whoever put
// something into an empty mailbox. A loop that is in drain looks for itself at its end.
func (l *Loop) wake() {
	if !l.busy.Load() {
		l.trigger()
	}
}

// trigger is safe from any goroutine, also while the engine stops and afterwards.
func (l *Loop) trigger() {
	l.wakes.RLock()
	defer l.wakes.RUnlock()
	if el := l.gnet.Load(); el != nil && !l.stopped {
		_ = (*el).Execute(l.engine.background, wakeUp{l})
	}
}

// rest ends a drain. What has come while it ran has a turn of its own.
func (l *Loop) rest() {
	l.account.settle()
	if l.engine.relief.barren.Load() {
		l.dueBy(l.now + 1)
	}
	l.busy.Store(false)
	if l.mailbox.isTold() {
		l.yield()
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
	if format == acceptFailure {
		g.engine.failedAccept(args)
		return
	}
	g.log.Warn("gnet: " + fmt.Sprintf(format, args...))
}
func (g gnetLog) Fatalf(format string, args ...any) {
	g.log.Error("gnet: " + fmt.Sprintf(format, args...))
}
