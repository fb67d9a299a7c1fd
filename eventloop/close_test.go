package eventloop

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// RFC 6455 5.5.1: the client's Close is answered with its code.
func TestClientCloses(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h)
	for _, c := range []struct{ payload, want string }{
		{string(ws.NewCloseFrameBody(1000, "bye")), string(ws.NewCloseFrameBody(1000, ""))},
		{string(ws.NewCloseFrameBody(4321, "")), string(ws.NewCloseFrameBody(4321, ""))},
		{"", string(ws.NewCloseFrameBody(1000, ""))},
	} {
		p := dial(t, e, "name=x")
		p.Send(ws.OpClose, c.payload)
		p.Expect(ws.OpClose, c.want)
		p.ExpectEnd()
	}
	eventually(t, "they are counted", func() bool { return closedBy(e, CausePeerClosed) == 3 })
}

// The server's Close, to a client that answers and to one that never does.
func TestServerCloses(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h)
	polite, silent := dial(t, e, "name=polite"), dial(t, e, "name=silent")
	began := time.Now()
	stopTicking(t, e)
	for _, name := range []string{"polite", "silent"} {
		on(t, e, h.id(name), func(c *Client) { c.Close(4000, "enough", CauseServerClosed) })
	}
	e.Publish(text("nobody is left"), nil)
	polite.ExpectClose(4000)
	silent.ExpectClose(4000)
	polite.Say(wsClose(4000))
	polite.ExpectEnd() // without having been waited for
	tickAgain(e)
	silent.ExpectEnd()
	if took := time.Since(began); took < closeWait/2 || took > closeWait+slack {
		t.Errorf("a client that doesn't answer is let go after %v, want about %v", took, closeWait)
	}
	eventually(t, "they are counted", func() bool { return closedBy(e, CauseServerClosed) == 2 })
}

func TestServerClosesCoderClient(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "ws://"+e.Addr().String()+"/?name=coder", nil)
	must(t, err)
	defer c.CloseNow()
	on(t, e, h.id("coder"), func(c *Client) {
		c.Send(text("last words"))
		c.Close(1008, "session revoked", CauseServerClosed)
	})
	if _, got, err := c.Read(ctx); err != nil || string(got) != "last words" {
		t.Fatalf("got %q, %v", got, err)
	}
	_, _, err = c.Read(ctx)
	var closed websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != 1008 || closed.Reason != "session revoked" {
		t.Errorf("got %v", err)
	}
}

// docs/protocol.md section 3, close codes: the client sees why, though it goes on sending.
func TestViolations(t *testing.T) {
	t.Parallel()
	e := start(t, &host{}, func(o *Options) { o.MaxMessageIn = 1000 })
	for _, c := range []struct {
		name, bytes string
		code        ws.StatusCode
		cause       Cause
	}{
		{"an unmasked frame", "\x81\x01x", 1002, CauseProtocolError},
		{"a reserved opcode", clientFrame(3, "x"), 1002, CauseProtocolError},
		{"text that isn't UTF-8", clientFrame(ws.OpText, "\xff"), 1007, CauseProtocolError},
		{"a message that is too big", clientFrame(ws.OpBinary, strings.Repeat("x", 1001)), 1009, CauseTooBig},
	} {
		before := closedBy(e, c.cause)
		p := dial(t, e, "name=x")
		p.Say(c.bytes)
		sending := make(chan struct{})
		go func() {
			defer close(sending)
			for range 200 {
				if _, err := p.Write(make([]byte, 5000)); err != nil {
					t.Errorf("%s: it can't go on sending: %v", c.name, err)
					return
				}
			}
		}()
		<-sending
		p.ExpectClose(c.code)
		p.Close()
		eventually(t, c.name+" is counted", func() bool { return closedBy(e, c.cause) == before+1 })
	}
}

// A Close stands behind all that the client is owed.
func TestCloseComesLast(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h, lagFar, func(o *Options) { o.SendBuffer = 4096 })
	reading, lagging := dial(t, e, "name=reading"), dial(t, e, "name=lagging", wstest.SmallWindow)
	stopTicking(t, e) // or the one that lags would have closeWait for all that it is owed
	filler := strings.Repeat("z", 3000)
	const count = 300
	for i := range count {
		e.Publish(text("%d %s", i, filler), nil)
	}
	for _, name := range []string{"reading", "lagging"} {
		id := h.id(name)
		e.Publish(text("for %s", name), &Audience{Clients: []uint64{id}})
		e.Post(id, func(c *Client) { c.Close(1001, "", CauseDraining) })
	}
	e.Publish(text("not for those that are closed"), nil)
	eventually(t, "both are closing", func() bool { return e.Clients() == 0 })
	for name, p := range map[string]*peer{"reading": reading, "lagging": lagging} {
		for i := range count {
			p.Expect(ws.OpText, string(text("%d %s", i, filler).Payload()))
		}
		p.Expect(ws.OpText, "for "+name)
		p.ExpectClose(1001)
		p.Say(wsClose(1001))
		p.ExpectEnd()
	}
}

// lagFar lets clients fall as far behind as a test wants.
func lagFar(o *Options) {
	o.Slow.LagBytes, o.Slow.LagTime, o.Memory.QueueMessages = 1<<28, time.Minute, 1<<20
}

// What a lagging client that was closed is still owed may be gone when it gets round to
// it. That is its own loss: it is given nothing in its place, and all others are served.
func TestFeedMovesPastAClosingClient(t *testing.T) {
	t.Parallel()
	for _, policy := range []SlowPolicy{Disconnect, DropOldest} {
		h := &host{}
		e := start(t, h, func(o *Options) {
			o.Loops, o.SendBuffer, o.Slow.LagBytes, o.Slow.Policy, o.Slow.LagTime = 1, 4096, 20_000, policy, time.Minute
		})
		lagging, healthy := dial(t, e, "name=lagging", wstest.SmallWindow), dial(t, e, "name=healthy")
		published := 0
		send := func() {
			published++
			f := numbered(published, 5000)
			e.Publish(f, nil)
			healthy.Expect(ws.OpText, string(f.Payload()))
		}
		for e.Stats().Loops[0].Lagging == 0 {
			send()
		}
		send()
		owed := published
		on(t, e, h.id("lagging"), func(c *Client) { c.Close(1000, "", CauseServerClosed) })
		for range 100 {
			send()
		}
		for last := 0; ; {
			f, err := lagging.Next()
			if err != nil || f.Header.OpCode == ws.OpClose {
				break
			}
			n := number(f.Payload)
			if n <= last || n > owed {
				t.Fatalf("policy %d: message %d came behind %d; it is owed up to %d", policy, n, last, owed)
			}
			last = n
		}
		lagging.Close()
		send()
		if n := e.Stats().Loops[0].Panics; n > 0 {
			t.Errorf("policy %d: %d panics", policy, n)
		}
	}
}
