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

// firstPanicAt is true once for each place.
func (e *Engine) firstPanicAt(place string) bool {
	_, seen := e.panics.LoadOrStore(place, true)
	return !seen
}

// gnetLog hands gnet's log lines on; they are about its insides, so most are debug.
type gnetLog struct{ log *slog.Logger }

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
	g.log.Warn("gnet: " + fmt.Sprintf(format, args...))
}
func (g gnetLog) Fatalf(format string, args ...any) {
	g.log.Error("gnet: " + fmt.Sprintf(format, args...))
}
