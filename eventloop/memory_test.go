package eventloop

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop/internal/budget"
	"github.com/busbar-ws/busbar/internal/wstest"
	"github.com/busbar-ws/busbar/wsproto"
)

// smallMemory is an engine that sheds above 1.75 MiB, and in which clients fall behind soon.
func smallMemory(o *Options) {
	o.Memory.BufferBytes, o.Memory.QueueBytes, o.Slow.LagBytes, o.SendBuffer = 2<<20, 512<<10, 1<<20, 4<<10
	o.Slow.LagTime, o.Timeouts.Handshake, o.Timeouts.PingInterval = time.Hour, time.Hour, time.Hour
}

func used(e *Engine) int {
	collect()
	return counted(e)
}

// counted is used, and what the collector hasn't freed yet.
func counted(e *Engine) (sum int) {
	for _, n := range e.Stats().Buffered {
		sum += int(n)
	}
	return sum
}

// settled waits until the loops have handled what was published, and says what is buffered.
func settled(t *testing.T, e *Engine) int {
	t.Helper()
	everyLoop(t, e, func(*Loop) {})
	everyLoop(t, e, func(*Loop) {})
	return used(e)
}

// backlog has the client fall behind with messages of its own, of so many bytes in all.
func backlog(t *testing.T, e *Engine, id uint64, bytes int) {
	t.Helper()
	const each = 64 << 10
	for ; bytes > 0; bytes -= each {
		e.Publish(NewFrame(ws.OpBinary, make([]byte, min(bytes, each))), &Audience{Clients: []uint64{id}})
		everyLoop(t, e, func(*Loop) {})
	}
}

// The client with the most of its own goes first, and only as many as have to.
func TestWorstLaggardGoesFirst(t *testing.T) {
	for _, policy := range []SlowPolicy{Disconnect, DropOldest} {
		t.Run(fmt.Sprint(policy), func(t *testing.T) {
			h := &host{}
			e := start(t, h, smallMemory, func(o *Options) { o.Slow.Policy = policy })
			ids := make(map[string]uint64)
			for _, name := range []string{"light", "heavy", "middle"} {
				dial(t, e, "name="+name, wstest.SmallWindow)
				ids[name] = h.id(name)
			}
			healthy := dial(t, e, "name=healthy")
			backlog(t, e, ids["light"], 200<<10)
			backlog(t, e, ids["heavy"], 900<<10)
			if n := settled(t, e); n < 900<<10 || n > 1300<<10 || e.Clients() != 4 {
				t.Fatalf("%d bytes are buffered, %d clients are there", n, e.Clients())
			}
			backlog(t, e, ids["middle"], 800<<10)
			eventually(t, "the heaviest goes", func() bool { return closedBy(e, CauseMemory) == 1 && used(e) < 1200<<10 })
			if n := e.Clients(); n != 3 {
				t.Errorf("%d clients are left, want 3", n)
			}
			if h.causeOf(ids["heavy"]) != CauseMemory {
				t.Errorf("the heaviest is still there")
			}
			e.Publish(NewFrame(ws.OpText, []byte("still here")), nil)
			healthy.Expect(ws.OpText, "still here")
		})
	}
}

// Laggards that keep what is buffered below the mark don't keep large messages out for good: room
// is made for one that was refused. A message that never fits has nobody ended.
func TestRoomIsMadeForALargeMessage(t *testing.T) {
	h := &host{}
	e := start(t, h, smallMemory, func(o *Options) { o.Memory.QueueBytes = 1 << 20 })
	dial(t, e, "name=light", wstest.SmallWindow)
	dial(t, e, "name=heavy", wstest.SmallWindow)
	healthy := dial(t, e, "name=healthy")
	backlog(t, e, h.id("light"), 200<<10)
	backlog(t, e, h.id("heavy"), 1000<<10)
	below := settled(t, e)
	if below > 1792<<10 {
		t.Fatalf("%d bytes are buffered, which is above the mark", below)
	}
	publish := func(n int) Dropped { return e.Publish(NewFrame(ws.OpBinary, make([]byte, n)), nil) }
	if d := publish(2 << 20); !d.Refused || e.budget.Pressed() {
		t.Fatalf("a message larger than the ceiling: %+v, and room is made for it", d)
	}
	const large = 1020 << 10
	if d := publish(large); !d.Refused {
		t.Fatalf("%d bytes are buffered, there is room for %d more: nothing is shown", below, large)
	}
	if err := e.WaitDrained(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := publish(large); d.Any() {
		t.Fatalf("there was no room for it when it came again: %+v", d)
	}
	if n := closedBy(e, CauseMemory); n != 1 || h.causeOf(h.id("heavy")) != CauseMemory {
		t.Errorf("%d went, want the heaviest alone", n)
	}
	healthy.Expect(ws.OpBinary, string(make([]byte, large)))
}

func (h *host) causeOf(id uint64) Cause {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.causes[id]
}

// The loop with the worst laggard ends it, whichever loop has noticed.
func TestWorstLaggardOfAnotherLoop(t *testing.T) {
	h := &host{}
	e := start(t, h, smallMemory)
	byLoop := make([][]uint64, 2)
	for i := 0; len(byLoop[0]) < 4 || len(byLoop[1]) < 4; i++ {
		name := fmt.Sprint("c", i)
		dial(t, e, "name="+name, wstest.SmallWindow)
		id := h.id(name)
		byLoop[loopOf(id)] = append(byLoop[loopOf(id)], id)
	}
	backlog(t, e, byLoop[0][0], 900<<10)
	for _, id := range byLoop[1][:4] {
		backlog(t, e, id, 250<<10)
	}
	eventually(t, "the worst goes", func() bool { return h.causeOf(byLoop[0][0]) == CauseMemory })
	if n := closedBy(e, CauseMemory); n > 1 {
		t.Errorf("%d went, want 1", n)
	}
}

// A client is told why it goes, where that takes nothing: at the end of a message.
func TestEvictedClientIsTold(t *testing.T) {
	h := &host{}
	e := start(t, h, smallMemory)
	p := dial(t, e, "name=half")
	p.Say(string(clientHead(ws.OpText, 60<<10)) + strings.Repeat("x", 50<<10))
	eventually(t, "half a message is counted", func() bool { return e.Stats().Buffered["inbound"] >= 50<<10 })
	press(t, e, 2<<20)
	p.ExpectClose(wsproto.StatusTryAgainLater)
	p.Close()
	eventually(t, "it is counted", func() bool { return closedBy(e, CauseMemory) == 1 })
	eventually(t, "its bytes are free", func() bool { return e.Stats().Buffered["inbound"] == 0 })
}

// clientHead is a masked frame's header, with a mask that changes nothing.
func clientHead(op ws.OpCode, length int) []byte {
	var b strings.Builder
	_ = ws.WriteHeader(&b, ws.Header{Fin: true, OpCode: op, Masked: true, Length: int64(length)})
	return []byte(b.String())
}

// press counts bytes that nobody can be ended for, until the test is over or they
// are taken back.
func press(t *testing.T, e *Engine, bytes int64) (off func()) {
	t.Helper()
	put := func(n int64) {
		e.budget.Add(budget.Outside, n)
		e.budget.Judge()
	}
	put(bytes)
	on := true
	off = func() {
		if on {
			put(-bytes)
		}
		on = false
	}
	t.Cleanup(off)
	return off
}

// With nobody left to end newcomers are refused before their upgrade, publishers wait, and
// what is published all the same is counted as lost; those who are in stay, and all is as it
// was when there is room again.
func TestNewcomersAreRefused(t *testing.T) {
	h := &host{onLoss: func(*Client) *Frame { return text("resync") }}
	e := start(t, h, smallMemory)
	inside := dial(t, e, "name=inside")
	off := press(t, e, 2<<20)
	if !e.Overloaded() {
		t.Fatal("the engine isn't overloaded")
	}
	p := connect(t, e)
	p.Say(request(""))
	answer, err := http.ReadResponse(p.R, nil)
	must(t, err)
	answer.Body.Close()
	if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
		t.Errorf("answered with %d, Retry-After %q", answer.StatusCode, answer.Header.Get("Retry-After"))
	}
	p.Close()
	probe := connect(t, e)
	probe.Say("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	if got := probe.Status(); got != http.StatusOK {
		t.Errorf("the health probe is answered with %d", got)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := e.WaitDrained(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a publisher doesn't wait: %v", err)
	}
	lossy, event := text("lossy"), text("event")
	lossy.Lossy, event.Seq = true, 1
	if d := e.Publish(lossy, nil); d != (Dropped{Lossy: 1, Refused: true}) {
		t.Errorf("dropped %+v", d)
	}
	if d := e.Publish(event, nil); d != (Dropped{Reliable: 1, Refused: true}) {
		t.Errorf("dropped %+v", d)
	}
	e.Lost(Gap{From: 1, To: 1}, nil, LossMemory)
	if s := e.Stats(); s.Dropped["memory_lossy"] != 1 || s.Dropped["memory_other"] != 1 || s.Overloaded != 1 {
		t.Errorf("counted: %+v", s)
	}
	off()
	must(t, e.WaitDrained(context.Background()))
	e.Publish(NewFrame(ws.OpText, []byte("after")), nil)
	inside.Expect(ws.OpText, "resync") // a change event is missing
	inside.Expect(ws.OpText, "after")
	dial(t, e, "name=later")
	eventually(t, "the refusal is counted", func() bool { return closedBy(e, CauseOverloaded) == 1 })
	if n := closedBy(e, CauseMemory); n > 0 {
		t.Errorf("%d that were in have gone", n)
	}
}

// Requests that never end, and those that nobody decides about, are counted, and the largest
// make room.
func TestUnfinishedUpgradesMakeRoom(t *testing.T) {
	h := &host{onUpgrade: func(*Client, *wsproto.Request) {}} // it never answers
	e := start(t, h, smallMemory)
	small := connect(t, e)
	small.Say("GET / HTTP/1.1\r\n")
	large := connect(t, e)
	large.Say("GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 15<<10))
	undecided := connect(t, e)
	undecided.Say(request("") + strings.Repeat("y", 40<<10))
	eventually(t, "all are counted", func() bool { return e.Stats().Buffered["upgrades"] > 16<<10+40<<10 })
	press(t, e, 1<<20+800<<10-2<<10)
	for _, p := range []*peer{undecided, large} {
		if got := p.Status(); got != http.StatusServiceUnavailable {
			t.Errorf("answered with %d", got)
		}
		p.Close()
	}
	eventually(t, "they are counted", func() bool { return closedBy(e, CauseMemory) >= 2 })
}

// A subscription that is being decided about keeps what is published meanwhile.
func TestPendingSubscriptionsCount(t *testing.T) {
	h := &host{}
	e := start(t, h, smallMemory)
	dial(t, e, "name=a")
	on(t, e, h.id("a"), func(c *Client) { c.SubscribePending("row") })
	idle := settled(t, e)
	if idle < pendingBytes {
		t.Fatalf("%d bytes are counted for a pending subscription", idle)
	}
	e.Publish(NewFrame(ws.OpBinary, make([]byte, 100<<10)), &Audience{Key: "row"})
	if n := settled(t, e) - idle; n < 100<<10 || n > 110<<10 {
		t.Errorf("what it holds back counts as %d", n)
	}
	on(t, e, h.id("a"), func(c *Client) { c.Unsubscribe("row") })
	if n := settled(t, e); n != 0 {
		t.Errorf("%d bytes are left", n)
	}
}

// Names of subscriptions are counted, and whoever has most of them goes for them.
func TestSubscriptionsCount(t *testing.T) {
	h := &host{}
	e := start(t, h, smallMemory)
	dial(t, e, "name=modest")
	c := dial(t, e, "name=greedy")
	name := strings.Repeat("x", 1000)
	ceiling := int64(e.opts.Memory.BufferBytes)
	on(t, e, h.id("modest"), func(c *Client) { c.Subscribe("topic") })
	for i := 0; int64(i*len(name)) < 2*ceiling; i++ {
		e.Post(h.id("greedy"), func(c *Client) { c.Subscribe(fmt.Sprint(i, name)) })
		everyLoop(t, e, func(*Loop) {})
		if n := int64(counted(e)); n > ceiling+2000 { // no message, so nothing of it waits for the collector
			t.Fatalf("%d bytes are counted, the ceiling is %d", n, ceiling)
		}
	}
	eventually(t, "the greedy client is ended", func() bool { return h.causeOf(h.id("greedy")) == CauseMemory })
	c.Close()
	eventually(t, "its names are given back", func() bool { return settled(t, e) < 2000 })
	if n := e.Stats().Connections; n != 1 {
		t.Errorf("%d connections, want the modest client's", n)
	}
}

// A message for everyone counts once, not for each loop or client that is behind with it.
func TestSharedFramesCountOnce(t *testing.T) {
	h := &host{}
	e := start(t, h, smallMemory)
	for i := range 40 {
		dial(t, e, fmt.Sprint("user=u&name=", i), wstest.SmallWindow)
	}
	const size = 500 << 10
	e.Publish(NewFrame(ws.OpBinary, make([]byte, size)), nil)
	eventually(t, "all lag", func() bool { return e.Stats().Loops[0].Lagging+e.Stats().Loops[1].Lagging == 40 })
	e.Publish(NewFrame(ws.OpBinary, make([]byte, size)), &Audience{Label: LabelUser, Names: []string{"u"}})
	if n := settled(t, e); n < 2*size || n > 2*size+40*(128+4*24)+20<<10 { // a queue and four places
		t.Errorf("two messages of %d bytes, owed to 40 clients, count as %d", size, n)
	}
}

// Whoever waits for room publishes as fast as clients read, however little memory there is for what
// the collector hasn't freed: nothing is refused, and nobody ends.
func TestGarbageRefusesNothing(t *testing.T) {
	h := &host{}
	e := start(t, h, smallMemory, func(o *Options) { o.SendBuffer = 0 })
	p := dial(t, e, "name=reader")
	const messages, size = 400, 64 << 10 // 12 times the ceiling
	message := make([]byte, size)
	for i := range messages {
		must(t, e.WaitDrained(t.Context()))
		if d := e.Publish(NewFrame(ws.OpBinary, message), nil); d.Any() {
			t.Fatalf("message %d: %+v", i, d)
		}
		p.Expect(ws.OpBinary, string(message))
	}
	if n := closedBy(e, CauseMemory); n != 0 {
		t.Errorf("%d went", n)
	}
}

// What is refused beside messages that nobody uses any more fits as soon as the collector has run, which
// may be long in coming by itself. No client goes for it.
func TestRefusedBesideGarbage(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	h := &host{}
	e := start(t, h, smallMemory)
	dial(t, e, "name=laggard", wstest.SmallWindow)
	backlog(t, e, h.id("laggard"), 256<<10)
	nobody := &Audience{Label: LabelUser, Names: []string{"nobody"}}
	for range 20 {
		e.Publish(NewFrame(ws.OpBinary, make([]byte, 60_000)), nobody)
	}
	const size = 512 << 10
	release, ok := e.Hold(size)
	if ok {
		t.Fatalf("%d bytes fit beside %d", size, counted(e))
	}
	eventually(t, "it fits", func() bool {
		release, ok = e.Hold(size)
		return ok
	})
	release()
	if n := closedBy(e, CauseMemory); n != 0 {
		t.Errorf("%d went", n)
	}
}
