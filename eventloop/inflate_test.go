package eventloop

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/wsproto"
)

// echoing sends every message back to whoever sent it.
func echoing() *host {
	return &host{onMessage: func(c *Client, op ws.OpCode, p []byte) { c.Send(NewFrame(op, p)) }}
}

func inflateErrors(e *Engine) (n uint64) {
	for _, l := range e.Stats().Loops {
		n += l.InflateErrors
	}
	return n
}

// RFC 7692 6: RSV1 is for those alone with whom it was negotiated.
func TestCompressionMustBeNegotiated(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		compression Compression
		dial        func(testing.TB, *Engine, string, ...func(int)) *peer
		legal       bool
	}{
		"off and offered":    {CompressOff, dialDeflate, false},
		"on and not offered": {CompressOn, dial, false},
		"on and offered":     {CompressOn, dialDeflate, true},
		"out and offered":    {CompressOut, dialDeflate, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := start(t, echoing(), func(o *Options) { o.Compression = c.compression })
			p := c.dial(t, e, "name=x")
			text := strings.Repeat("again and ", 100)
			p.Say(packedFrame(t, ws.OpText, text))
			if !c.legal {
				p.ExpectClose(ws.StatusProtocolError)
				return
			}
			if f, compressed := p.inflated(); string(f.Payload) != text || !compressed {
				t.Errorf("got %q, compressed is %t", brief(string(f.Payload)), compressed)
			}
		})
	}
}

// RFC 7692 7.1.2.1 and 6: a client that wants to keep less than the whole window may send
// compressed messages, and is sent none, whatever form others get.
func TestSmallWindow(t *testing.T) {
	t.Parallel()
	e := start(t, echoing(), compressing)
	other := dialDeflate(t, e, "name=other")
	text := strings.Repeat("again and ", 100)
	for bits := 8; bits <= 14; bits++ {
		p := connect(t, e)
		window := fmt.Sprint("; server_max_window_bits=", bits)
		p.Say(strings.Replace(requestDeflate("name=x"), "permessage-deflate", "permessage-deflate"+window, 1))
		p.Upgraded()
		if clients, _ := deflatedStats(e); clients != 1 {
			t.Errorf("%d clients count as such that are sent compressed messages, want 1", clients)
		}
		p.Say(packedFrame(t, ws.OpText, text))
		e.Publish(NewFrame(ws.OpBinary, []byte(text)), nil)
		seen := make(map[ws.OpCode]bool)
		for range 2 { // in either order
			f, compressed := p.inflated()
			if string(f.Payload) != text || compressed {
				t.Errorf("%d bits: got %q, compressed is %t", bits, brief(string(f.Payload)), compressed)
			}
			seen[f.Header.OpCode] = true
		}
		if len(seen) != 2 {
			t.Errorf("%d bits: got %v", bits, seen)
		}
		if f, compressed := other.inflated(); string(f.Payload) != text || !compressed {
			t.Errorf("another client got %q, compressed is %t", brief(string(f.Payload)), compressed)
		}
		p.Close()
	}
}

// A compressed message costs its sender, and nobody else, what it may cost: MaxMessageIn,
// and under CompressOut less, because what comes can't be kept from being compressed.
func TestBombEndsItsSenderOnly(t *testing.T) {
	t.Parallel()
	bomb := packedFrame(t, ws.OpText, strings.Repeat("x", 16<<20))
	for _, c := range []struct {
		compression Compression
		most        int
	}{{CompressOn, 64 << 10}, {CompressOut, InflateOut}} {
		h := echoing()
		e := start(t, h, func(o *Options) { o.Loops, o.Compression = 1, c.compression })
		other := dialDeflate(t, e, "name=other")
		fits := strings.Repeat("x", c.most)
		other.Say(packedFrame(t, ws.OpText, fits))
		if f, _ := other.inflated(); string(f.Payload) != fits {
			t.Errorf("%d bytes, which are allowed, came back as %d", c.most, len(f.Payload))
		}
		for _, frame := range []string{packedFrame(t, ws.OpText, fits+"x"), bomb} {
			bomber := dialDeflate(t, e, "name=bomber")
			bomber.Say(frame)
			bomber.ExpectClose(ws.StatusMessageTooBig)
			bomber.ExpectEnd()
			bomber.Close()
		}
		eventually(t, "both are counted", func() bool { return closedBy(e, CauseTooBig) == 2 })
		other.Send(ws.OpText, fits) // what isn't compressed has the other limit
		if f, _ := other.inflated(); string(f.Payload) != fits {
			t.Errorf("an uncompressed message came back as %d bytes", len(f.Payload))
		}
	}
}

// RFC 6455 7.4.1: what can't be inflated is 1007, and is counted.
func TestDataThatCannotBeInflated(t *testing.T) {
	t.Parallel()
	e := start(t, echoing(), compressing)
	p := dialDeflate(t, e, "name=x")
	frame := []byte(clientFrame(ws.OpText, "this is no deflate data"))
	frame[0] |= 0x40
	p.Say(string(frame))
	p.ExpectClose(ws.StatusInvalidFramePayloadData)
	p.ExpectEnd()
	if got := inflateErrors(e); got != 1 {
		t.Errorf("%d messages that couldn't be inflated were counted, want 1", got)
	}
}

// A client that was let in by HTTP 101 and a Close at once may have been told yes.
func TestRejectedWithCompression(t *testing.T) {
	t.Parallel()
	h := &host{onUpgrade: func(c *Client, r *wsproto.Request) {
		c.AcceptAndClose(r.Answer, ws.StatusPolicyViolation, "no")
	}}
	e := start(t, h, compressing)
	p := dialDeflate(t, e, "name=x")
	p.ExpectClose(ws.StatusPolicyViolation)
	p.ExpectEnd()
	if n := e.deflation.Readers.Load(); n != 0 {
		t.Errorf("%d clients with compression", n)
	}
}

// RFC 7692, with clients that we didn't write: coder/websocket, which offers as it is told,
// and compresses what it sends.
func TestCoderClients(t *testing.T) {
	t.Parallel()
	h := echoing()
	e := start(t, h, compressing)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	modes := []websocket.CompressionMode{websocket.CompressionDisabled, websocket.CompressionContextTakeover, websocket.CompressionNoContextTakeover}
	var clients []*websocket.Conn
	for i, mode := range modes {
		c, _, err := websocket.Dial(ctx, fmt.Sprintf("ws://%s/?name=coder%d", e.Addr(), i),
			&websocket.DialOptions{CompressionMode: mode, CompressionThreshold: 1})
		must(t, err)
		defer func() { _ = c.CloseNow() }()
		c.SetReadLimit(1 << 20)
		clients = append(clients, c)
	}
	if n, _ := deflatedStats(e); n != 2 {
		t.Fatalf("%d clients with compression, want 2", n)
	}
	random := rand.New(rand.NewPCG(1, 1))
	for n := range 26 {
		f := like(random, n, 10<<(n%13))
		e.Publish(f, nil)
		for _, c := range clients {
			expectRead(t, c, f.Payload())
			text := like(random, n, 1+random.IntN(40_000)).Payload()
			must(t, c.Write(t.Context(), websocket.MessageText, text))
			expectRead(t, c, text)
		}
	}
	for _, c := range clients {
		must(t, c.Close(websocket.StatusNormalClosure, ""))
	}
	eventually(t, "each has said goodbye", func() bool { return closedBy(e, CausePeerClosed) == len(clients) })
}

func expectRead(t *testing.T, c *websocket.Conn, want []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, got, err := c.Read(ctx)
	must(t, err)
	if string(got) != string(want) {
		t.Fatalf("got %q, want %q", brief(string(got)), brief(string(want)))
	}
}

// settledHeap is what is reachable when pools have been emptied, which takes two collections.
func settledHeap() int {
	liveHeap()
	liveHeap()
	return liveHeap()
}
