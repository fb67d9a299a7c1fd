package eventloop

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/internal/wstest"
	"github.com/busbar-ws/busbar/wsproto"
)

// RFC 6455 5.5.1: a Close that comes right behind a message doesn't cost the answer to it,
// and is answered itself; what follows it doesn't count.
func TestCloseRightBehindAMessage(t *testing.T) {
	t.Parallel()
	e := start(t, &host{onMessage: echo})
	p := dial(t, e, "name=x")
	stopTicking(t, e) // its end is no matter of waiting
	p.Say(clientFrame(ws.OpText, "last") + clientFrame(ws.OpPing, "p") + wsClose(4000) +
		clientFrame(3, "garbage") + clientFrame(ws.OpText, "not listened to"))
	p.Expect(ws.OpText, "last")
	p.Expect(ws.OpPong, "p")
	p.ExpectClose(4000)
	p.ExpectEnd()
	p.Close()
	eventually(t, "it is counted", func() bool { return closedBy(e, CausePeerClosed) == 1 })
}

// A client that ends its half right behind its last word reads all of it just the same, in
// whatever order the loop comes to its bytes, their end and the flush.
func TestEndRightBehindTheLastWord(t *testing.T) {
	t.Parallel()
	const tries = 50 // each may go well by chance
	e := start(t, &host{onMessage: echo})
	for _, c := range []struct {
		last string
		code ws.StatusCode
	}{{wsClose(4000), 4000}, {clientFrame(3, ""), 1002}} {
		for range tries {
			p := dial(t, e, "name=x")
			p.Say(clientFrame(ws.OpText, "last") + clientFrame(ws.OpPing, "p") + c.last)
			must(t, p.Conn.(*net.TCPConn).CloseWrite())
			p.Expect(ws.OpText, "last")
			p.Expect(ws.OpPong, "p")
			p.ExpectClose(c.code)
			p.ExpectEnd()
			p.Close()
		}
	}
}

// RFC 6455 7.1.7: a violation behind a message ends the connection as fast as one alone.
func TestViolationRightBehindAMessage(t *testing.T) {
	t.Parallel()
	e := start(t, &host{onMessage: echo})
	p := dial(t, e, "name=x")
	stopTicking(t, e) // its end is no matter of waiting
	p.Say(clientFrame(ws.OpText, "last") + clientFrame(3, ""))
	p.Expect(ws.OpText, "last")
	p.ExpectClose(1002)
	p.ExpectEnd()
	p.Close()
	eventually(t, "it is counted", func() bool { return closedBy(e, CauseProtocolError) == 1 })
}

// A client that lags and says goodbye gets what it is owed and the answer, if it reads; if it
// doesn't, it is gone after closeWait all the same.
func TestLaggingClientCloses(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h, lagFar, func(o *Options) { o.SendBuffer = 4096 })
	reading, stuck := dial(t, e, "name=reading", wstest.SmallWindow), dial(t, e, "name=stuck", wstest.SmallWindow)
	filler := strings.Repeat("z", 3000)
	const count = 100
	for i := range count {
		e.Publish(text("%d %s", i, filler), nil)
	}
	eventually(t, "both lag", func() bool {
		s := e.Stats()
		return s.Loops[0].Lagging+s.Loops[1].Lagging == 2
	})
	for _, name := range []string{"reading", "stuck"} {
		on(t, e, h.id(name), func(*Client) {}) // all that was published has come to its loop
	}
	reading.Say(wsClose(1000))
	stuck.Say(wsClose(1000))
	stopTicking(t, e)
	eventually(t, "both are closing", func() bool { return e.Clients() == 0 })
	for i := range count {
		reading.Expect(ws.OpText, string(text("%d %s", i, filler).Payload()))
	}
	reading.ExpectClose(1000)
	reading.ExpectEnd()
	reading.Close()
	tickAgain(e)
	eventually(t, "the one that doesn't read has gone too", func() bool { return e.Connections() == 0 })
	if n := closedBy(e, CausePeerClosed); n != 2 {
		t.Errorf("%d are counted, want 2", n)
	}
}

// Both sides close at once, the server behind a message: it says both, and then ends.
func TestBothCloseAtOnce(t *testing.T) {
	t.Parallel()
	h := &host{onMessage: func(c *Client, op ws.OpCode, p []byte) {
		echo(c, op, p)
		c.Close(1001, "draining", CauseDraining)
	}}
	e := start(t, h)
	p := dial(t, e, "name=x")
	stopTicking(t, e) // its end is no matter of waiting
	p.Say(clientFrame(ws.OpText, "last") + wsClose(1000))
	p.Expect(ws.OpText, "last")
	p.ExpectClose(1001)
	p.ExpectEnd()
}

// A Close finds its place behind a queue that is full.
func TestCloseBehindAFullQueue(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h, func(o *Options) { o.SendBuffer, o.Slow.LagBytes, o.Slow.LagTime = 4096, 50_000, time.Minute })
	p := dial(t, e, "name=x", wstest.SmallWindow)
	stopTicking(t, e) // or it would have closeWait for all that it is owed
	sent := 0
	on(t, e, h.id("x"), func(c *Client) {
		c.Send(text("%s", strings.Repeat("a", 1<<20))) // stays in progress
		c.loop.pump(c)
		for c.Open() && c.queue != nil && c.queue.Bytes()+1004 <= e.opts.Slow.LagBytes {
			c.Send(text("%s", strings.Repeat("b", 1000)))
			sent++
		}
		if left := e.opts.Slow.LagBytes - c.queue.Bytes(); left > 127 {
			c.Send(text("%s", strings.Repeat("c", left-10)))
			sent++
		}
		c.Close(1001, strings.Repeat("r", 120), CauseDraining)
	})
	p.Expect(ws.OpText, strings.Repeat("a", 1<<20))
	for range sent {
		if f, err := p.Next(); err != nil || f.Header.OpCode != ws.OpText {
			t.Fatalf("%v %v, want a message", f.Header, err)
		}
	}
	p.ExpectClose(1001)
}

// RFC 6455 7.1.1: whatever the client goes on sending behind the last word, it reads the
// server's Close and then the end of the connection, and not that it was reset. What comes
// with the last word is more than the server reads at once.
func TestUnreadInputResetsNothing(t *testing.T) {
	t.Parallel()
	more := strings.Repeat(clientFrame(ws.OpBinary, strings.Repeat("x", 1000)), 500)
	for name, c := range map[string]struct {
		first, last string
		upgrade     func(c *Client, r *wsproto.Request)
		code        ws.StatusCode
	}{
		"a Close":                               {last: wsClose(1000), code: 1000},
		"an answer to the server's Close":       {first: "bye", last: wsClose(1001), code: 1001},
		"a violation":                           {last: clientFrame(3, ""), code: 1002},
		"a violation behind the server's Close": {first: "bye", last: clientFrame(3, ""), code: 1001},
		"two Closes":                            {last: wsClose(1000) + wsClose(1000), code: 1000},
		"a rejection": {upgrade: func(c *Client, r *wsproto.Request) {
			c.AcceptAndClose(r.Answer, ws.StatusPolicyViolation, "no")
		}, last: wsClose(1008), code: 1008},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := &host{onUpgrade: c.upgrade, onMessage: func(c *Client, _ ws.OpCode, p []byte) {
				if string(p) == "bye" {
					c.Close(1001, "", CauseDraining)
				}
			}}
			e := start(t, h)
			p := dial(t, e, "name=x")
			stopTicking(t, e) // or it would have closeWait to send all of that
			if c.first != "" {
				p.Send(ws.OpText, c.first)
				p.ExpectClose(c.code)
			}
			p.Say(c.last + more)
			if c.first == "" {
				p.ExpectClose(c.code)
			}
			p.Say(more) // it has the Close, and doesn't stop at that
			if _, err := p.R.ReadByte(); !errors.Is(err, io.EOF) {
				t.Errorf("the connection ended with %v", err)
			}
			p.Close()
		})
	}
}

// What a client is owed when it is closed goes out, however long its loop is kept from running between:
// that isn't time that the peer has had.
func TestCloseBeforeALongTurn(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h)
	p := dial(t, e, "name=x")
	on(t, e, h.id("x"), func(c *Client) {
		c.Send(text("owed"))
		c.Close(1000, "", CauseServerClosed)
		c.since -= ticks(closeWait + time.Second)
		c.loop.wholeTick()
	})
	p.Expect(ws.OpText, "owed")
	p.ExpectClose(1000)
}

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
