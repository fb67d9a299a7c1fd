package eventloop

import (
	"testing"

	"github.com/busbar-ws/busbar/internal/wstest"
	"github.com/busbar-ws/busbar/wsproto"
)

// Whoever is asked about a client that goes before the answer is told, once; an answer is none of that.
func TestClosedWhileTheAnswerIsAwaited(t *testing.T) {
	asked, closed := make(chan *Client, 10), make(chan Cause, 10)
	h := &host{onUpgrade: func(c *Client, _ *wsproto.Request) { asked <- c }, onClosed: func(_ *Client, cause Cause) { closed <- cause }}
	e := start(t, h)
	ask := func() (*wstest.Raw, *Client) {
		raw, err := wstest.DialRaw(t, "", e.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		raw.Say(wstest.Request("/"))
		return raw, <-asked
	}
	gone, _ := ask()
	gone.Close()
	if cause := <-closed; cause != CausePeerGone {
		t.Errorf("gone: %v", cause)
	}
	refused, c := ask()
	e.Post(c.ID(), func(c *Client) { c.Refuse(wsproto.RefuseOverloaded) })
	_, _ = refused.R.ReadString('\n')
	refused.Close()
	eventually(t, "all are gone", func() bool { return e.Stats().Connections == 0 })
	if n := len(closed); n != 0 {
		t.Errorf("%d more are told of", n)
	}
}
