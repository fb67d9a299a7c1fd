package eventloop

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// stall publishes numbered messages, which the healthy client reads, until one that doesn't
// read lags, and returns how many there were. The healthy one may lag for a moment too, with a small
// send buffer and until the kernel has acknowledged what it has read.
func stall(t *testing.T, e *Engine, h *host, healthy *peer, a *Audience) (published int) {
	t.Helper()
	stuck := func() (found bool) {
		everyLoop(t, e, func(l *Loop) {
			found = slices.ContainsFunc(l.behind.laggards, func(c *Client) bool { return c.ID() != h.id("healthy") })
		})
		return found
	}
	for !stuck() {
		published++
		e.Publish(numbered(published, 5000), a)
		healthy.Expect(ws.OpText, string(numbered(published, 5000).Payload()))
	}
	return published
}

func oneSmallLoop(o *Options) {
	o.Loops, o.SendBuffer, o.Slow.LagTime = 1, 4096, time.Minute
}

// docs/protocol.md section 3, close codes: a client that takes nothing for LagTime is closed with 1013.
func TestTooSlowByTime(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h, oneSmallLoop, func(o *Options) { o.Slow.LagTime, o.Slow.LagBytes = 300*time.Millisecond, 1<<28 })
	stuck, ignorant := dial(t, e, "name=stuck", wstest.SmallWindow), dial(t, e, "name=ignorant", wstest.SmallWindow)
	healthy := dial(t, e, "name=healthy")
	stall(t, e, h, healthy, nil)
	e.Publish(text("more"), nil)
	eventually(t, "only the healthy one is left", func() bool { return e.Clients() == 1 })
	stopTicking(t, e) // or it would have closeWait to read its Close
	last := 0
	for {
		f, err := stuck.Next()
		must(t, err)
		if f.Header.OpCode == ws.OpClose {
			if code, _ := ws.ParseCloseFrameData(f.Payload); code != 1013 {
				t.Errorf("got Close %d, want 1013", code)
			}
			break
		}
		if n := number(f.Payload); n != last+1 {
			t.Fatalf("message %d behind %d", n, last)
		}
		last++
	}
	stuck.Say(wsClose(1013))
	stuck.ExpectEnd()
	tickAgain(e)
	eventually(t, "both are counted, also the one that never reads", func() bool { return closedBy(e, CauseSlow) == 2 })
	ignorant.Close()
	e.Publish(text("on"), nil)
	healthy.Expect(ws.OpText, "more")
	healthy.Expect(ws.OpText, "on")
}

// More than LagBytes behind is too far at once, with what was broadcast and with what
// was for the client alone.
func TestTooSlowByBytes(t *testing.T) {
	t.Parallel()
	for _, alone := range []bool{false, true} {
		h := &host{}
		e := start(t, h, oneSmallLoop, func(o *Options) { o.Slow.LagBytes = 50_000 })
		dial(t, e, "name=stuck", wstest.SmallWindow)
		healthy := dial(t, e, "name=healthy")
		var a *Audience
		if alone {
			a = &Audience{Clients: []uint64{h.id("stuck"), h.id("healthy")}}
		}
		n := stall(t, e, h, healthy, a)
		for i := range 8 { // 40,000 bytes at most are behind the message in progress
			f := numbered(n+1+i, 5000)
			e.Publish(f, a)
			healthy.Expect(ws.OpText, string(f.Payload()))
		}
		if e.Clients() != 2 {
			t.Errorf("alone %v: closed before it was %d bytes behind", alone, 50_000)
		}
		for range 4 {
			f := numbered(0, 5000)
			e.Publish(f, a)
			healthy.Expect(ws.OpText, string(f.Payload()))
		}
		eventually(t, "only the healthy one is left", func() bool { return e.Clients() == 1 })
		eventually(t, "it is counted", func() bool { return closedBy(e, CauseSlow) == 1 })
	}
}

// docs/protocol.md section 7, -slow drop-oldest: what was lost is told once, in its place, and what
// comes behind it comes in order.
func TestDropOldest(t *testing.T) {
	t.Parallel()
	for _, alone := range []bool{false, true} {
		t.Run(fmt.Sprintf("alone=%v", alone), func(t *testing.T) {
			t.Parallel()
			h := &host{onLoss: func(*Client) *Frame { return text("lagged") }}
			e := start(t, h, oneSmallLoop, func(o *Options) { o.Slow.LagBytes, o.Slow.Policy = 30_000, DropOldest })
			slow, healthy := dial(t, e, "name=slow", wstest.SmallWindow), dial(t, e, "name=healthy")
			var a *Audience
			if alone {
				a = &Audience{Clients: []uint64{h.id("slow"), h.id("healthy")}}
			}
			n := stall(t, e, h, healthy, a)
			for round := range 4 {
				began := e.loops[0].counters.LagDropped.Load()
				n = publishOverTicks(e, healthy, n, 5, a)
				if e.loops[0].counters.LagDropped.Load() == began {
					t.Fatal("nothing was lost: nothing is shown")
				}
				expectGapTold(t, slow, n, round)
			}
		})
	}
}

// publishOverTicks publishes more than any client may lag, spread over so many ticks.
func publishOverTicks(e *Engine, healthy *peer, n, ticks int, a *Audience) int {
	for range ticks {
		for range 20 {
			n++
			f := numbered(n, 5000)
			e.Publish(f, a)
			healthy.Expect(ws.OpText, string(f.Payload()))
		}
		ran := make(chan struct{})
		time.AfterFunc(tick, func() { close(ran) })
		<-ran
	}
	return n
}

// expectGapTold reads up to message last: numbers rise, and "lagged" stands where, and
// only where, some are missing.
func expectGapTold(t *testing.T, p *peer, last, round int) {
	t.Helper()
	previous, told, gaps := -1, false, 0
	for previous < last {
		f, err := p.Next()
		must(t, err)
		if string(f.Payload) == "lagged" {
			if told {
				t.Fatalf("round %d: told twice of one gap, behind message %d", round, previous)
			}
			told = true
			continue
		}
		n := number(f.Payload)
		if gap := n != previous+1; previous >= 0 && gap != told || n <= previous {
			t.Fatalf("round %d: message %d behind %d, told of a loss: %v", round, n, previous, told)
		}
		if told {
			gaps++
		}
		previous, told = n, false
	}
	if gaps == 0 {
		t.Fatalf("round %d: up to %d without a gap", round, last)
	}
}

// A peer that pings and doesn't read is slow too: pongs don't pile up without a bound.
func TestPongsForAClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	e := start(t, &host{}, oneSmallLoop, func(o *Options) { o.Slow.LagBytes = 20_000 })
	p := dial(t, e, "name=x", wstest.SmallWindow)
	flood := strings.Repeat(clientFrame(ws.OpPing, strings.Repeat("p", 125)), 500)
	for e.Clients() > 0 {
		if _, err := p.Write([]byte(flood)); err != nil {
			break
		}
	}
	eventually(t, "it is counted", func() bool { return closedBy(e, CauseSlow) == 1 })
}

// By default the kernel takes little for a client that doesn't read, and nobody is too slow by bytes before as much
// waits for them as the kernel's own send buffer of 4 MiB takes, and another 1 MiB.
func TestWhatIsNotSentWaitsHere(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h, func(o *Options) { o.Loops, o.Slow.LagTime = 1, time.Hour })
	dial(t, e, "name=slow", wstest.SmallWindow)
	published, unsent := 0, 0
	for isOpen := true; isOpen; {
		f := numbered(published, 4096)
		e.Publish(f, nil)
		published += f.Size()
		everyLoop(t, e, func(l *Loop) {
			c := l.Find(h.id("slow"))
			if isOpen = c != nil && c.Open(); isOpen {
				n, _ := unix.IoctlGetInt(int(c.fd), unix.SIOCOUTQNSD)
				unsent = max(unsent, n)
			}
		})
	}
	if published < 5<<20 || unsent < 256<<10 || unsent > 1<<20 {
		t.Errorf("too slow at %d bytes, of which the kernel held %d unsent", published, unsent)
	}
}
