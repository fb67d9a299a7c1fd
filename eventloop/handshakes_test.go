package eventloop

import (
	"testing"
	"time"

	"github.com/busbar-ws/busbar/wsproto"
)

// Connections that send nothing keep others out for a share of the handshake timeout at a
// time, and never are there more than the bound.
func TestSilentConnectionsMakeRoom(t *testing.T) {
	t.Parallel()
	const most, silent = 8, 20
	e, _, _ := gated(t, &host{}, func(o *Options) { o.Accept.MaxHandshakes, o.Timeouts.Handshake = most, 16*time.Second })
	for range silent {
		connect(t, e)
	}
	eventually(t, "the bound is reached", func() bool { return e.Stats().Loops[0].Handshakes == most })
	began := time.Now()
	good := connect(t, e)
	good.Say(request("name=good"))
	seen := 0
	eventually(t, "somebody with a request is let in", func() bool {
		seen = max(seen, e.Stats().Loops[0].Handshakes)
		return e.Clients() == 2
	})
	good.Upgraded()
	if took := time.Since(began); took > 14*time.Second {
		t.Errorf("it took %v, as long as if nobody had made room", took)
	}
	if seen > most {
		t.Errorf("%d handshakes at once", seen)
	}
	if n := closedBy(e, CauseHandshakeTimeout); n < silent-most {
		t.Errorf("%d have made room", n)
	}
}

// Below the bound a silent connection has the whole time.
func TestSilentConnectionsMayStayWhenThereIsRoom(t *testing.T) {
	t.Parallel()
	e, _, _ := gated(t, &host{}, func(o *Options) { o.Accept.MaxHandshakes, o.Timeouts.Handshake = 3, patience })
	slow := connect(t, e)
	slow.Say("GET /?")
	eventually(t, "it is in", func() bool { return e.Stats().Loops[0].Handshakes == 1 })
	everyLoop(t, e, func(l *Loop) { l.now += ticks(patience) - 10; l.abortSilent() })
	slow.Say(request("")[len("GET /?"):])
	slow.Upgraded()
}

// Whatever a handshake ends with, it is counted down and out of the list.
func TestHandshakesAreCounted(t *testing.T) {
	t.Parallel()
	held := make(chan uint64, 100)
	h := &host{}
	h.onUpgrade = func(c *Client, r *wsproto.Request) {
		if r.Path == "/wait" {
			held <- c.ID()
			return
		}
		h.admit(c, r)
	}
	e, g, _ := gated(t, h, func(o *Options) { o.Accept.MaxHandshakes = 6 })
	connect(t, e).Close()
	refused := connect(t, e)
	refused.Say("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if got := refused.Status(); got != 426 {
		t.Errorf("status %d", got)
	}
	rejected, asked, left, partly, silent := connect(t, e), connect(t, e), connect(t, e), connect(t, e), connect(t, e)
	for _, p := range []*peer{rejected, asked, left} {
		p.Say("GET /wait" + request("")[len("GET /?"):])
	}
	partly.Say("GET / HT")
	a, b, c := <-held, <-held, <-held
	eventually(t, "five are under way", func() bool { return e.Stats().Loops[0].Handshakes == 5 })
	if g.Paused() != 0 {
		t.Error("shut below the bound")
	}
	full := connect(t, e)
	eventually(t, "accepting is paused at the bound", func() bool { return g.Paused() == 1 })
	partly.Close()
	full.Say(request(""))
	full.Upgraded()
	on(t, e, a, func(c *Client) { c.Refuse(wsproto.RefuseOverloaded) })
	on(t, e, b, func(c *Client) { c.AcceptAndClose([]byte("HTTP/1.1 101 Switching Protocols\r\n\r\n"), 1008, "no") })
	on(t, e, c, func(c *Client) { c.Close(1001, "", CauseServerClosed) })
	silent.Close()
	eventually(t, "none is left", func() bool { return e.Stats().Loops[0].Handshakes == 0 })
	everyLoop(t, e, func(l *Loop) {
		if l.accepting.silent != (group{}) {
			t.Errorf("left: %+v", l.accepting.silent)
		}
	})
	if g.Paused() != 0 {
		t.Error("still shut")
	}
}
