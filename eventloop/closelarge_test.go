package eventloop

import (
	"testing"

	"github.com/gobwas/ws"
)

// A Close stands behind all that a client is owed, also when that is more than it may fall
// behind: one large message.
func TestCloseBehindALargeMessage(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h, func(o *Options) { o.Slow.LagBytes = 1000 })
	p := dial(t, e, "name=x")
	message := numbered(1, 5000)
	on(t, e, h.id("x"), func(c *Client) {
		c.Send(message)
		c.Close(ws.StatusGoingAway, "", CauseServerClosed)
	})
	p.Expect(ws.OpText, string(message.Payload()))
	p.ExpectClose(ws.StatusGoingAway)
}
