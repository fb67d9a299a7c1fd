package eventloop

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// audiences are all kinds but everyone, of the clients with those ids.
func audiences(ids []uint64) map[string]*Audience {
	return map[string]*Audience{
		"a key":             {Key: "topic"},
		"a key in a tenant": {Key: "topic", Label: LabelTenant, Names: []string{"acme"}},
		"a tenant":          ofTenant("acme"),
		"users":             {Label: LabelUser, Names: []string{"nobody", "some", "others"}},
		"clients":           {Clients: ids},
	}
}

// crowdOf dials clients that are in each of the audiences, and one who is in none.
func crowdOf(t *testing.T, e *Engine, h *host, n int) (in []*peer, ids []uint64, out *peer) {
	t.Helper()
	for i := range n {
		user := []string{"some", "others"}[i%2]
		in = append(in, dial(t, e, fmt.Sprintf("name=%d&tenant=acme&user=%s", i, user)))
		ids = append(ids, h.id(fmt.Sprint(i)))
		on(t, e, ids[i], func(c *Client) { c.Subscribe("topic") })
	}
	out = dial(t, e, "name=out&tenant=other&user=out")
	canYield(t, e, h.id("out"))
	return in, ids, out
}

// canYield waits until the client's loop looks at its sockets between two turns, which it does once it
// has opened a socket for that.
func canYield(t *testing.T, e *Engine, id uint64) {
	t.Helper()
	eventuallyOn(t, e, id, func(c *Client) bool { return c.loop.poller.Yields() })
}

// sliceByMessage is for a host whose clients say how much a turn of their loop may do: nothing, one slice
// of stepsPerLook and then nothing, or as much as usual; and that they want a topic or don't.
func sliceByMessage(c *Client, _ ws.OpCode, p []byte) {
	l := c.loop
	switch string(p) {
	case "stop":
		l.fanout.sliceTime = -time.Second
	case "one slice":
		l.fanout.sliceTime = 0
		l.drain()
		l.fanout.sliceTime = -time.Second
	case "go":
		l.fanout.sliceTime = sliceTime
	case "subscribe":
		c.Subscribe("topic")
	case "unsubscribe":
		c.Unsubscribe("topic")
	}
}

// tell sends what sliceByMessage understands, and returns when that is done.
func (p *peer) tell(what string) {
	p.T.Helper()
	p.Send(ws.OpText, what)
	p.Send(ws.OpPing, what)
	p.Expect(ws.OpPong, what)
}

// Whomever a message is for, the loop reads, answers and accepts before all of them have it.
func TestLoopLivesWhileItFansOut(t *testing.T) {
	t.Parallel()
	const clients = 2*stepsPerLook + 1
	for kind := range audiences(nil) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			var slice atomic.Int64 // what the last one sent
			h := &host{onMessage: func(c *Client, op ws.OpCode, p []byte) {
				before := sent(c.loop.engine)
				sliceByMessage(c, op, p)
				slice.Store(int64(sent(c.loop.engine) - before))
			}}
			e := start(t, h, oneSmallLoop)
			in, ids, out := crowdOf(t, e, h, clients)
			out.tell("stop")
			e.Publish(text("one"), audiences(ids)[kind])
			e.Publish(text("two"), nil)
			out.tell("one slice")
			if n := slice.Load(); n > stepsPerLook {
				t.Errorf("%d were sent to in one slice", n)
			}
			late := dial(t, e, "name=late&tenant=acme&user=some")
			late.tell("alive")
			late.Send(ws.OpText, "go")
			for _, p := range in {
				p.Expect(ws.OpText, "one")
				p.Expect(ws.OpText, "two")
			}
			late.Expect(ws.OpText, "two") // but not one, which was published before it came
		})
	}
}

// docs/protocol.md section 3, order: what one publisher published in an order, one client receives in
// that order, though what is for many is on its way for many turns.
func TestOrderWhileMessagesAreOnTheirWay(t *testing.T) {
	t.Parallel()
	const clients, messages = 70, 300
	h := &host{onMessage: sliceByMessage}
	e := start(t, h, lagFar, func(o *Options) { o.Loops, o.SendBuffer = 1, 4096 })
	in, ids, _ := crowdOf(t, e, h, clients)
	everyLoop(t, e, func(l *Loop) { l.fanout.sliceTime = 0 })
	random := rand.New(rand.NewPCG(1, 2))
	want := make([][]int, clients)
	for n := range messages {
		f := numbered(n, 20+random.IntN(3000))
		a, step, end := (*Audience)(nil), 1, clients
		switch random.IntN(5) {
		case 0:
			a = &Audience{Key: "topic"}
		case 1:
			a = ofTenant("acme")
		case 2:
			a, step = &Audience{Label: LabelUser, Names: []string{"some"}}, 2
		case 3:
			a, end = &Audience{Clients: ids[:5]}, 5
		}
		for i := 0; i < end; i += step {
			want[i] = append(want[i], n)
		}
		e.Queue(f, a)
		if random.IntN(3) == 0 {
			e.Flush()
		}
	}
	e.Flush()
	var reading sync.WaitGroup
	for i, p := range in {
		reading.Go(func() {
			for _, n := range want[i] {
				f, err := p.Next()
				if err != nil || number(f.Payload) != n {
					t.Errorf("client %d got %q, %v; want message %d", i, brief(string(f.Payload)), err, n)
					return
				}
			}
		})
	}
	reading.Wait()
}

// Who is of the audience when a message's turn comes, and stays so, gets it once. Who goes before it
// was reached doesn't, and who comes while it is on its way only gets what comes behind it.
func TestSubscribersComeAndGoWhileAMessageIsOnItsWay(t *testing.T) {
	t.Parallel()
	const clients = 2*stepsPerLook + 1
	h := &host{onMessage: sliceByMessage}
	e := start(t, h, oneSmallLoop)
	in, ids, out := crowdOf(t, e, h, clients)
	out.tell("stop")
	e.Publish(text("one"), &Audience{Key: "topic"})
	out.tell("one slice") // the latest of them have it in their queues
	hasNot, gone := 0, 1
	for i, p := range in {
		switch i {
		case gone:
			p.Close()
			eventually(t, "one has gone", func() bool { return e.Clients() == clients })
		case hasNot:
			p.tell("unsubscribe")
		}
	}
	out.tell("subscribe")
	out.tell("go")
	e.Publish(text("two"), &Audience{Key: "topic"})
	e.Publish(text("last"), &Audience{Clients: append(slices.Clone(ids), h.id("out"))})
	for i, p := range append(slices.Clone(in), out) {
		want := []string{"one", "two", "last"}
		switch {
		case i == gone:
			continue
		case i == hasNot:
			want = []string{"last"}
		case p == out:
			want = []string{"two", "last"}
		}
		for _, w := range want {
			p.Expect(ws.OpText, w)
		}
	}
}
