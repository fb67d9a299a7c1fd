package eventloop

import (
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// numberedEvent is a numbered message that is a change event.
func numberedEvent(seq uint64, size int) *Frame {
	f := numbered(int(seq), size)
	f.Seq = seq
	return f
}

// closesOf are the ends that a loop remembers, the newest first.
func closesOf(t *testing.T, e *Engine) (closes []Closed) {
	t.Helper()
	everyLoop(t, e, func(l *Loop) { closes, _ = l.Closes() })
	return closes
}

// docs/protocol.md section 5, GET /v1/closes: a client that is closed with messages owed to it is remembered with who
// it was, why it ended, how many messages it wasn't sent and which events those were, whether it is sent a Close that
// it doesn't read or its connection ends without one.
func TestClosesAreRemembered(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h, oneSmallLoop, func(o *Options) { o.Slow.LagBytes = 50_000 })
	began := time.Now()
	stuck := dial(t, e, "name=stuck&user=bob&tenant=acme", wstest.SmallWindow)
	healthy := dial(t, e, "name=healthy&user=alice&tenant=acme")
	seq := uint64(0)
	for ; len(closesOf(t, e)) == 0; seq++ {
		f := numberedEvent(seq+1, 5000)
		e.Publish(f, nil)
		healthy.Expect(ws.OpText, string(f.Payload()))
	}
	// What it is sent ends with its Close. It has lost the rest.
	read := uint64(0)
	for {
		f, err := stuck.Next()
		must(t, err)
		if f.Header.OpCode == ws.OpClose {
			break
		}
		read++
	}
	stuck.Close()
	eventually(t, "it has gone", func() bool { return e.Connections() == 1 })
	r := closesOf(t, e)[0]
	if r.ID != h.id("stuck") || r.User != "bob" || r.Tenant != "acme" || r.Cause != CauseSlow || !r.Addr.IsLoopback() {
		t.Errorf("remembered as %+v", r)
	}
	if r.Newest != seq && r.Newest != seq-1 { // the last may have come behind its end
		t.Errorf("it left behind event %d of %d", r.Newest, seq)
	}
	if want := (Gap{From: read + 1, To: r.Newest}); r.Events != want || r.Messages != int(r.Newest-read) {
		t.Errorf("%d messages and the events %v are lost, want those of %v", r.Messages, r.Events, want)
	}
	if r.Opened.Before(began.Add(-tick)) || r.At.Before(r.Opened) || r.At.After(time.Now()) {
		t.Errorf("opened %v, closed %v, not since %v", r.Opened, r.At, began)
	}
	for _, at := range []time.Time{r.Opened, r.At} {
		if !at.Equal(at.Truncate(tick)) {
			t.Errorf("%v is written as more than it is good for", at)
		}
	}
	healthy.Close()
	eventually(t, "the other has gone too", func() bool { return len(closesOf(t, e)) == 2 })
	if r := closesOf(t, e)[0]; r.User != "alice" || r.Cause != CausePeerGone || r.Messages != 0 || !r.Events.Empty() {
		t.Errorf("remembered as %+v, which lost nothing", r)
	}
}

// GET /v1/losses: a client that is told of a gap is remembered with that, once for one stall. GET /v1/laggards: until
// it reads it is behind with what waits for it.
func TestLossesAndLaggardsAreSeen(t *testing.T) {
	t.Parallel()
	gaps := make(chan Gap, 100)
	h := &host{onGap: func(_ *Client, lost Gap) *Frame { gaps <- lost; return text("gap") }}
	e := start(t, h, oneSmallLoop, func(o *Options) { o.Slow.LagBytes, o.Slow.Policy = 50_000, DropOldest })
	dial(t, e, "name=stuck&user=bob", wstest.SmallWindow)
	healthy := dial(t, e, "name=healthy")
	var losses []Loss
	var behind []Laggard
	seq := uint64(0)
	for ; len(losses) == 0 || losses[0].Messages < 50; seq++ {
		f := numberedEvent(seq+1, 5000)
		e.Publish(f, nil)
		healthy.Expect(ws.OpText, string(f.Payload()))
		behind = nil
		everyLoop(t, e, func(l *Loop) {
			losses, _ = l.Losses()
			l.Laggards(func(c *Client, g Laggard) {
				if c.ID() == h.id("stuck") {
					behind = append(behind, g)
				}
			})
		})
	}
	total := uint64(0)
	for i, n := range losses {
		total += uint64(n.Messages)
		if n.ID != h.id("stuck") || n.User != "bob" || n.Cause != LossSlow || n.Events.Empty() || n.Events.To > seq {
			t.Errorf("%d of %d is remembered as %+v", i, len(losses), n)
		}
	}
	if counted := e.Stats().Dropped["slow_client"]; total != counted {
		t.Errorf("%d messages are remembered, %d counted", total, counted)
	}
	if len(behind) != 1 || behind[0].Bytes < 40_000 || behind[0].Messages < 8 || behind[0].Since.After(losses[0].At.Add(tick)) {
		t.Errorf("the one that is behind is seen as %+v", behind)
	}
}

// What is remembered is bounded, and says from when on it is complete.
func TestHistoryIsBounded(t *testing.T) {
	var r ring[int]
	at := func(n *int) time.Time { return time.Unix(int64(*n), 0) }
	for n := range remembered {
		r.put(n, at)
	}
	if !r.since.IsZero() {
		t.Errorf("forgot something of %v before it was full", r.since)
	}
	const more = 3*remembered + 10
	for n := remembered; n < more; n++ {
		r.put(n, at)
	}
	want := more - 1
	for n := range r.newest {
		if *n != want {
			t.Fatalf("%d where %d was put in", *n, want)
		}
		want--
	}
	if want != more-remembered-1 || !r.since.Equal(time.Unix(int64(want), 0)) {
		t.Errorf("remembers those above %d, and says since %v", want, r.since)
	}
	if long := string(make([]byte, 2*rememberedName)); len(Remembered(long)) != rememberedName {
		t.Errorf("a name of %d bytes is remembered", len(Remembered(long)))
	}
}

// Distributions count what they say: each message for everyone once for each loop that sends it, each walk, each
// upgrade. Connections are counted by state, and the laggards' furthest is seen and forgotten again.
func TestTimesAndLagAreCounted(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h, oneSmallLoop, func(o *Options) { o.Slow.LagBytes = 1 << 20 })
	waiting := connect(t, e)
	stuck, healthy := dial(t, e, "name=stuck", wstest.SmallWindow), dial(t, e, "name=healthy")
	upgrades := uint64(e.Clients())
	messages := uint64(stall(t, e, h, healthy, nil))
	for range 40 { // more than the kernel takes when it looks again
		f := numbered(0, 5000)
		e.Publish(f, nil)
		healthy.Expect(ws.OpText, string(f.Payload()))
		messages++
	}
	eventually(t, "the laggard's lag is seen", func() bool {
		s := e.Stats()
		return s.Lag.Bytes > 0 && s.Lag.Messages > 0 && s.Lag.Seconds > 0
	})
	eventually(t, "all have been sent all", func() bool { return observed(e, "broadcast_last_send") == messages })
	if n := observed(e, "broadcast_first_send"); n != messages {
		t.Errorf("%d of %d messages were begun to be sent", n, messages)
	}
	if n, flushes := observed(e, "flush"), e.Stats().Flushes; n != flushes || n == 0 {
		t.Errorf("%d walks took time, of %d", n, flushes)
	}
	if n := observed(e, "handshake"); n != upgrades {
		t.Errorf("%d upgrades took time, of %d", n, upgrades)
	}
	took := e.Stats().Durations["broadcast_last_send"].Sum
	if first := e.Stats().Durations["broadcast_first_send"].Sum; first > took || took > patience {
		t.Errorf("until the first send it took %v, until the last %v", first, took)
	}
	if n := inState(e, "open"); n != int(upgrades) || inState(e, "handshaking") != 1 {
		t.Errorf("%d clients are open, %d connections handshake, want %d and 1", n, inState(e, "handshaking"), upgrades)
	}
	stuck.Close()
	waiting.Close()
	eventually(t, "nobody is behind or half there", func() bool {
		return e.Stats().Lag == Furthest{} && inState(e, "handshaking")+inState(e, "closing") == 0 && inState(e, "open") == int(upgrades)-1
	})
}

func observed(e *Engine, what string) uint64 {
	d := e.Stats().Durations[what]
	n, _ := d.Cumulative()
	return n
}

func inState(e *Engine, state string) (n int) {
	for _, l := range e.Stats().Loops {
		n += l.Connections[state]
	}
	return n
}
