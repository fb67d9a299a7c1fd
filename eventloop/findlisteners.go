package eventloop

import (
	"errors"
	"fmt"

	"github.com/busbar-ws/busbar/eventloop/internal/poll"
)

var errNoListener = errors.New("no epoll set that watches a listener of the loops")

// findAcceptPauses is called when all loops run; their epoll sets are small then.
func (e *Engine) findAcceptPauses() {
	found, err := poll.FindListeners(e.addr)
	if err == nil && len(found) != len(e.loops) {
		err = fmt.Errorf("%w: found for %d of %d", errNoListener, len(found), len(e.loops))
	}
	if err != nil {
		e.opts.Log.Warn("loops can't be kept from accepting: connections and handshakes aren't paced, "+
			"and while descriptors run out the loops keep trying", "err", err)
		return
	}
	e.acceptPauses.Set(found)
}

// claimAcceptPause gives a loop the acceptPause whose epoll set watches a socket that only this loop
// has: gnet doesn't say which of its sets is which loop's. Until then the loop has none.
func (e *Engine) claimAcceptPause(l *Loop, fd int) {
	select {
	case <-e.lifecycle.booted:
		g := e.acceptPauses.Claim(fd)
		if l.accepting.pause.Store(g); g == nil && e.acceptPauses.Any() {
			e.opts.Log.Warn("a loop can't keep newcomers outside: its epoll set wasn't found", "loop", l.index)
		}
	case <-e.lifecycle.returned:
	}
}
