package eventloop

import (
	"context"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/wsproto"
)

// Drain refuses new connections from here on, sends Close with the code and reason to
// every client, behind all that it is owed, and returns when every connection has ended
// or ctx has.
func (e *Engine) Drain(ctx context.Context, code ws.StatusCode, reason string) error {
	e.Unready()
	e.places.Drain()
	err := e.visit(ctx, nil, func(c *Client) {
		switch {
		case c.state == closing:
		case c.state == authorising:
			c.loop.refuse(c, wsproto.RefuseDraining, CauseDraining)
		case !c.is(flagOverflow):
			c.Close(code, reason, CauseDraining)
		}
	})
	if err != nil {
		return err
	}
	return e.await(ctx, e.places.Empty())
}

// Stop ends all connections without a word, closes the listeners, and returns when
// nothing of the engine runs any more. Publishers may go on meanwhile: what they publish reaches nobody.
func (e *Engine) Stop() {
	e.places.Drain()
	e.poller.Stop()
	for _, l := range e.loops {
		l.ticker.timer.Stop()
		l.mailbox.End()
	}
}
