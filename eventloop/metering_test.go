package eventloop

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/internal/rates"
)

// only limits one kind. So slow a rate gives nothing back while a test runs.
func only(k rates.Kind, burst float64) rates.Limits {
	var l rates.Limits
	l.Connection[k] = rates.Limit{PerSecond: 1e-9, Burst: burst}
	return l
}

// limited runs an engine with limits, and counts the messages that reach its Handler.
func limited(t *testing.T, l rates.Limits, tune ...func(*Options)) (*Engine, *host, *atomic.Int64) {
	t.Helper()
	var handled atomic.Int64
	h := &host{onMessage: func(*Client, ws.OpCode, []byte) { handled.Add(1) }}
	e := start(t, h, append([]func(*Options){func(o *Options) { o.Rates = l }}, tune...)...)
	return e, h, &handled
}

// Lossy at first: what is over the burst is dropped and counted, and the connection lives.
func TestMessagesOverTheLimitAreDropped(t *testing.T) {
	e, _, handled := limited(t, only(rates.Messages, 10))
	p := dial(t, e, "")
	for range 15 {
		p.Send(ws.OpText, "x")
	}
	eventually(t, "all counted", func() bool { return e.Stats().RateLimited["messages"] == 5 })
	if n := handled.Load(); n != 10 {
		t.Errorf("%d messages were handled, want 10", n)
	}
	if by := e.Stats().RateLimitedBy["connection"]; by != 5 {
		t.Errorf("%d by the connection's limit", by)
	}
}

// Then 1008: of what follows nothing is handled, and nobody else notices.
func TestFloodsAreClosed(t *testing.T) {
	for name, test := range map[string]struct {
		op    ws.OpCode
		limit rates.Kind
		burst float64
	}{
		"text":           {ws.OpText, rates.Messages, 10},
		"binary":         {ws.OpBinary, rates.Messages, 10},
		"pings":          {ws.OpPing, rates.Messages, 10},
		"unasked pongs":  {ws.OpPong, rates.Messages, 10},
		"bytes":          {ws.OpText, rates.Bytes, 1000},
		"bytes of pings": {ws.OpPing, rates.Bytes, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			e, h, handled := limited(t, only(test.limit, test.burst))
			other := dial(t, e, "name=other")
			p := dial(t, e, "name=flood")
			flood := []byte(strings.Repeat(clientFrame(test.op, strings.Repeat("x", 100)), 3000)) // several reads
			_, _ = p.Write(flood)
			p.skipToClose(ws.StatusPolicyViolation, "rate abuse: "+test.limit.String())
			_, _ = p.Write(flood)
			p.Close()
			eventually(t, "its end", func() bool {
				h.mu.Lock()
				defer h.mu.Unlock()
				return h.causes[h.ids["flood"]] == CauseRateAbuse
			})
			most := int64(10)
			if test.limit == rates.Bytes {
				most = 64 << 10 / 100 // bytes are taken by the read
			}
			if n := handled.Load(); n > most {
				t.Errorf("%d messages were handled", n)
			}
			other.Send(ws.OpPing, "still here")
			other.Expect(ws.OpPong, "still here")
		})
	}
}

// Empty fragments make no message and hardly any bytes of payload. Their headers count.
func TestEndlessFragments(t *testing.T) {
	e, _, _ := limited(t, only(rates.Bytes, 10_000))
	p := dial(t, e, "")
	_, _ = p.Write(ws.MustCompileFrame(ws.MaskFrame(ws.NewFrame(ws.OpText, false, nil))))
	empty := ws.MustCompileFrame(ws.MaskFrame(ws.NewFrame(ws.OpContinuation, false, nil)))
	_, _ = p.Write(bytes.Repeat(empty, 100_000))
	p.skipToClose(ws.StatusPolicyViolation, "rate abuse: bytes")
}

// Ping floods get no more pongs than the limit allows.
func TestPongsAreBounded(t *testing.T) {
	e, _, _ := limited(t, only(rates.Messages, 10))
	p := dial(t, e, "")
	for i := range 15 {
		p.Send(ws.OpPing, fmt.Sprint(i))
	}
	p.Send(ws.OpClose, "")
	for i := range 10 {
		p.Expect(ws.OpPong, fmt.Sprint(i))
	}
	p.ExpectClose(ws.StatusNormalClosure) // Close is no message that could be dropped
}

// A user's connections on all loops draw on one account, and those of an address do.
func TestSharedAccounts(t *testing.T) {
	for name, want := range map[string]int64{"user": 20, "address": 30} {
		t.Run(name, func(t *testing.T) {
			l := only(rates.Messages, 10)
			l.User, l.Address = 2, 3
			e, _, handled := limited(t, l, func(o *Options) {
				o.Accept.MaxPerAddress = 1000
				o.RateKey = func(*Client) (string, bool) { return map[string]string{"user": "alice"}[name], true }
			})
			for range 8 { // they stay connected until the test is over
				p := dial(t, e, "")
				for range 10 {
					p.Send(ws.OpText, "")
				}
			}
			eventually(t, "80 messages", func() bool {
				return handled.Load()+int64(e.Stats().RateLimited["messages"]) == 80
			})
			if n := handled.Load(); n != want {
				t.Errorf("%d messages were handled, want %d", n, want)
			}
			if n := e.Stats().RateLimitedBy[name]; n != uint64(80-want) {
				t.Errorf("%d by the %s's limit: %v", n, name, e.Stats().RateLimitedBy)
			}
		})
	}
}

// Whoever isn't metered has no limits, and no account.
func TestUnmeteredClients(t *testing.T) {
	e, _, handled := limited(t, only(rates.Messages, 10), func(o *Options) {
		o.RateKey = func(*Client) (string, bool) { return "", false }
	})
	p := dial(t, e, "")
	for range 1000 {
		p.Send(ws.OpText, "")
	}
	eventually(t, "all handled", func() bool { return handled.Load() == 1000 })
}

// skipToClose reads past pongs up to a Close with the code and reason.
func (p *peer) skipToClose(code ws.StatusCode, reason string) {
	p.T.Helper()
	for {
		f, err := p.Next()
		must(p.T, err)
		if f.Header.OpCode == ws.OpPong {
			continue
		}
		if got, why := ws.ParseCloseFrameData(f.Payload); f.Header.OpCode != ws.OpClose || got != code || why != reason {
			p.T.Fatalf("got opcode %v %d %q, want Close %d %q", f.Header.OpCode, got, why, code, reason)
		}
		return
	}
}

// metersOf is how many meters the loops hold.
func metersOf(t *testing.T, e *Engine) int {
	t.Helper()
	var n atomic.Int64
	everyLoop(t, e, func(l *Loop) { n.Add(int64(l.meters.Len())) })
	return int(n.Load())
}

// An idle connection has no meter: not before it sends, not because it answers pings, and
// not for long after it has sent something.
func TestIdleConnectionsHaveNoMeter(t *testing.T) {
	var l rates.Limits
	l.Connection[rates.Messages] = rates.Limit{PerSecond: 100, Burst: 10}
	l.Connection[rates.Bytes] = rates.Limit{PerSecond: 1e6, Burst: 1e6}
	e, _, handled := limited(t, l, func(o *Options) { o.Timeouts.PingInterval = 100 * time.Millisecond })
	p := dial(t, e, "")
	for range 3 {
		p.Expect(ws.OpPing, "")
		before := e.Stats().pongs()
		p.Send(ws.OpPong, "")
		eventually(t, "the pong", func() bool { return e.Stats().pongs() > before })
		if n := metersOf(t, e); n != 0 {
			t.Fatalf("%d meters because of pongs", n)
		}
	}
	p.Send(ws.OpText, "")
	eventually(t, "the message", func() bool { return handled.Load() == 1 })
	eventually(t, "its meter gone", func() bool { return metersOf(t, e) == 0 })
}

// A connection that ends takes its meter along.
func TestMetersEndWithConnections(t *testing.T) {
	e, _, handled := limited(t, only(rates.Messages, 10))
	for i := range int64(5) {
		p := dial(t, e, "")
		p.Send(ws.OpText, "")
		eventually(t, "the message", func() bool { return handled.Load() == i+1 })
		if n := metersOf(t, e); n != 1 {
			t.Errorf("%d meters with one connection that has sent", n)
		}
		p.Close()
		eventually(t, "its end", func() bool { return e.Stats().Connections == 0 })
	}
	if n := metersOf(t, e); n != 0 {
		t.Errorf("%d meters without a connection", n)
	}
}

func (s Stats) pongs() (n uint64) {
	for _, l := range s.Loops {
		n += l.Pongs
	}
	return n
}
