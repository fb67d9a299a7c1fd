package eventloop

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"

	"github.com/busbar-ws/busbar/eventloop/internal/delivery"
	"github.com/busbar-ws/busbar/internal/wstest"
)

func compressing(o *Options) { o.Compression = CompressOn }

// requestDeflate is a request that offers compression.
func requestDeflate(query string) string {
	return strings.TrimSuffix(request(query), "\r\n") + "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
}

// dialDeflate is dial, with compression.
func dialDeflate(t testing.TB, e *Engine, query string, control ...func(fd int)) *peer {
	t.Helper()
	p := connect(t, e, control...)
	p.Say(requestDeflate(query))
	p.Upgraded()
	return p
}

// like is a message of about that size that becomes half as long when it is compressed.
func like(random *rand.Rand, n, size int) *Frame {
	payload := fmt.Appendf(nil, "%08d ", n)
	for len(payload) < size {
		payload = fmt.Appendf(payload, `"field":"%08x",`, random.Uint32())
	}
	return NewFrame(ws.OpText, payload)
}

// inflated reads a frame and inflates it if it is compressed.
func (p *peer) inflated() (f ws.Frame, compressed bool) {
	p.T.Helper()
	f, err := p.Next()
	must(p.T, err)
	if !f.Header.Rsv1() {
		return f, false
	}
	f, err = wsflate.DecompressFrame(f)
	must(p.T, err)
	return f, true
}

// packedFrame is a client's compressed frame.
func packedFrame(t testing.TB, op ws.OpCode, payload string) string {
	t.Helper()
	f, err := wsflate.CompressFrame(ws.NewFrame(op, true, []byte(payload)))
	must(t, err)
	frame, err := ws.CompileFrame(ws.MaskFrame(f))
	must(t, err)
	return string(frame)
}

// deflatedStats adds up what was compressed.
func deflatedStats(e *Engine) (clients int, frames uint64) {
	s := e.Stats()
	for _, l := range s.Loops {
		clients += l.Deflating
	}
	return clients, s.Deflated
}

// RFC 7692 5 and 6: one broadcast goes compressed to those who negotiated that, plain to
// the others; it is compressed once for all loops, and only if somebody can read it.
func TestBroadcastIsCompressedOnce(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1))
	e := start(t, &host{}, compressing, func(o *Options) { o.Loops = 3 })
	var simple, packing []*peer
	for i := range 12 {
		simple = append(simple, dial(t, e, fmt.Sprint("name=plain", i)))
	}
	before := like(random, 0, 1000)
	e.Publish(before, nil)
	if _, frames := deflatedStats(e); frames != 0 {
		t.Errorf("%d frames compressed for nobody", frames)
	}
	for _, p := range simple {
		p.Expect(ws.OpText, string(before.Payload()))
	}
	for i := range 12 {
		packing = append(packing, dialDeflate(t, e, fmt.Sprint("name=packing", i)))
	}
	if clients, _ := deflatedStats(e); clients != len(packing) {
		t.Errorf("%d clients with compression, want %d", clients, len(packing))
	}
	long, short := like(random, 1, 1000), like(random, 2, DefaultCompressionThreshold-20)
	for _, f := range []*Frame{long, short, long} {
		e.Publish(f, nil)
		for _, p := range simple {
			p.Expect(ws.OpText, string(f.Payload()))
		}
		for _, p := range packing {
			got, compressed := p.inflated()
			if string(got.Payload) != string(f.Payload()) || compressed != (f == long) {
				t.Fatalf("got %q, compressed is %t", brief(string(got.Payload)), compressed)
			}
		}
	}
	s := e.Stats()
	if s.Deflated != 1 || s.DeflatedFrom != uint64(long.Size()) || s.DeflatedTo != uint64(len(long.In(delivery.Deflated))) {
		t.Errorf("%d frames compressed, %d bytes to %d; want 1, %d to %d", s.Deflated, s.DeflatedFrom, s.DeflatedTo, long.Size(), len(long.In(delivery.Deflated)))
	}
	for _, p := range packing {
		p.Close()
	}
	eventually(t, "nobody is left with compression", func() bool {
		clients, _ := deflatedStats(e)
		return clients == 0 && e.deflation.Readers.Load() == 0
	})
	e.Publish(like(random, 3, 1000), nil)
	if _, frames := deflatedStats(e); frames != 1 {
		t.Error("a frame was compressed for nobody")
	}
}

// What doesn't shrink goes out as it is.
func TestNoTwinThatIsNoSmaller(t *testing.T) {
	t.Parallel()
	e := start(t, &host{}, compressing)
	p := dialDeflate(t, e, "name=x")
	noise := make([]byte, 1000)
	random := rand.New(rand.NewPCG(1, 1))
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	e.Publish(NewFrame(ws.OpBinary, noise), nil)
	if f, compressed := p.inflated(); compressed || !bytes.Equal(f.Payload, noise) {
		t.Errorf("compressed is %t", compressed)
	}
}

// A frame that has gone out plain stays so: what a client is owed is counted in bytes, and
// a twin that came later would change them under way.
func TestFrameNeverChangesItsForm(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1))
	h := &host{}
	e := start(t, h, compressing)
	first := dial(t, e, "name=first")
	published, sent := like(random, 1, 1000), like(random, 2, deflateOnLoop)
	e.Publish(published, nil)
	on(t, e, h.id("first"), func(c *Client) { c.Send(sent) })
	first.Expect(ws.OpText, string(published.Payload()))
	first.Expect(ws.OpText, string(sent.Payload()))
	second := dialDeflate(t, e, "name=second")
	for _, f := range []*Frame{published, sent} {
		e.Publish(f, nil)
		if got, compressed := second.inflated(); compressed || string(got.Payload) != string(f.Payload()) {
			t.Errorf("compressed is %t, %q", compressed, brief(string(got.Payload)))
		}
	}
}

// What is sent to one client alone is compressed as well, when that takes a loop no time.
func TestSendCompressesShortFrames(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1))
	h := &host{}
	e := start(t, h, compressing)
	simple, packing := dial(t, e, "name=plain"), dialDeflate(t, e, "name=packing")
	short, long, ready := like(random, 1, 1000), like(random, 2, deflateOnLoop+1), like(random, 3, deflateOnLoop+1)
	e.Deflate(ready)
	for f, want := range map[*Frame]bool{short: true, long: false, ready: true} {
		on(t, e, h.id("packing"), func(c *Client) { c.Send(f) })
		on(t, e, h.id("plain"), func(c *Client) { c.Send(f) })
		if got, compressed := packing.inflated(); compressed != want || string(got.Payload) != string(f.Payload()) {
			t.Errorf("%d bytes: compressed is %t", f.Size(), compressed)
		}
		simple.Expect(ws.OpText, string(f.Payload()))
	}
}

// docs/protocol.md section 3, order: with compression too, every byte is the one that was owed, whoever the
// messages were for and however little a socket takes at a time. Clients of either form share
// the broadcasts.
func TestCompressedStreamsAreExact(t *testing.T) {
	t.Parallel()
	seeds, frames := 16, 400
	if wstest.RaceEnabled {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(uint64(seed), 12))
			s := &streamTest{h: &host{}, random: random, want: make(map[string][]*Frame)}
			s.make = func(n, size int) *Frame { return s.e.Deflate(like(random, n, size)) }
			s.e = start(t, s.h, lagFar, compressing, func(o *Options) {
				o.SendBuffer = 4096 << random.IntN(4)
				if seed%2 == 0 {
					o.NotSentLowat = 4096
				}
			})
			peers, forms := make(map[string]*peer), make(map[string]delivery.Form)
			for i := range 6 {
				name := fmt.Sprint("client", i)
				control := func(int) {}
				if i > 1 {
					control = wstest.SmallWindow
				}
				query := "name=" + name + "&user=" + name
				if forms[name] = delivery.Form(i % 2); forms[name] == delivery.Deflated {
					peers[name] = dialDeflate(t, s.e, query, control)
				} else {
					peers[name] = dial(t, s.e, query, control)
				}
				on(t, s.e, s.h.id(name), func(c *Client) { c.Subscribe("topic") })
				s.names = append(s.names, name)
			}
			var wg sync.WaitGroup
			for n := range frames {
				s.publish(n)
			}
			for i, name := range s.names {
				reads := rand.New(rand.NewPCG(uint64(seed), uint64(i)))
				wg.Go(func() { expectStreamIn(t, peers[name], reads, s.want[name], forms[name]) })
			}
			wg.Wait()
			for _, f := range s.want["client1"] {
				expectTwin(t, f)
			}
		})
	}
}

// expectTwin inflates a frame's twin with another implementation.
func expectTwin(t *testing.T, f *Frame) {
	t.Helper()
	twin := f.In(delivery.Deflated)
	if len(twin) == f.Size() {
		if len(f.Payload()) >= 2*DefaultCompressionThreshold {
			t.Errorf("a message of %d bytes wasn't compressed", f.Size())
		}
		return
	}
	got, err := ws.ReadFrame(bytes.NewReader(twin))
	must(t, err)
	got, err = wsflate.DecompressFrame(got)
	if err != nil || !bytes.Equal(got.Payload, f.Payload()) {
		t.Errorf("the twin of a message of %d bytes is another message: %v", f.Size(), err)
	}
}
