package eventloop

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/eventloop/internal/budget"
)

// lossTest is one loop with a small mailbox and a client for each name, whose user and
// tenant have names too.
type lossTest struct {
	t     *testing.T
	h     *host
	e     *Engine
	peers map[string]*peer
}

func newLossTest(t *testing.T, names ...string) *lossTest {
	h := &host{onLoss: func(*Client) *Frame { return text("lost") }}
	e := start(t, h, oneSmallLoop, func(o *Options) { o.Memory.QueueMessages = 4 })
	x := &lossTest{t, h, e, make(map[string]*peer)}
	for _, name := range names {
		x.peers[name] = dial(t, e, "name="+name+"&user="+name+"&tenant=acme")
	}
	return x
}

func (x *lossTest) subscribe(key string, names ...string) {
	for _, name := range names {
		on(x.t, x.e, x.h.id(name), func(c *Client) { c.Subscribe(key) })
	}
}

// lose publishes frames to a loop that is stuck, and then as much as pushes them out.
func (x *lossTest) lose(f func() *Frame, audiences ...*Audience) {
	release := holdLoop(x.e, x.h.id("a"))
	for _, a := range audiences {
		x.e.Publish(f(), a)
	}
	for range 4 {
		x.e.Publish(f(), &Audience{Clients: []uint64{x.h.id("a")}})
	}
	release()
}

// expectTold: some are told, once and ahead of all else, and nobody else is.
func (x *lossTest) expectTold(names ...string) {
	x.t.Helper()
	told := strings.Join(names, " ")
	for range 4 {
		everyLoop(x.t, x.e, func(*Loop) {}) // what follows goes out by itself
	}
	x.e.Publish(text("end"), nil)
	for name, p := range x.peers {
		want := []string{"end"}
		if name == "a" {
			want = []string{"x", "x", "x", "x", "end"}
		}
		if strings.Contains(told, name) {
			want = append([]string{"lost"}, want...)
		}
		for _, w := range want {
			p.Expect(ws.OpText, w)
		}
	}
}

func aFrame() *Frame { return text("x") }

// A reliable frame that a full mailbox lets go of is told of to those who would have been
// given it, once, and to nobody else.
func TestWhoMissesAFrameIsTold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		to   func(*lossTest) []*Audience
		told []string
	}{
		"key":   {func(*lossTest) []*Audience { return []*Audience{{Key: "row"}} }, []string{"b", "c"}},
		"ids":   {func(x *lossTest) []*Audience { return []*Audience{{Clients: []uint64{x.h.id("c")}}} }, []string{"c"}},
		"names": {func(*lossTest) []*Audience { return []*Audience{{Label: LabelUser, Names: []string{"b", "nobody"}}} }, []string{"b"}},
		"twice": {func(x *lossTest) []*Audience {
			return []*Audience{{Key: "row"}, {Key: "row"}, {Clients: []uint64{x.h.id("b")}}}
		}, []string{"b", "c"}},
		"tenant":   {func(*lossTest) []*Audience { return []*Audience{{Label: LabelTenant, Names: []string{"acme"}}} }, []string{"a", "b", "c", "d"}},
		"everyone": {func(*lossTest) []*Audience { return []*Audience{{Key: "row"}, nil} }, []string{"a", "b", "c", "d"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newLossTest(t, "a", "b", "c", "d")
			x.subscribe("row", "b", "c")
			x.lose(aFrame, c.to(x)...)
			x.expectTold(c.told...)
		})
	}
}

// The same for what there is no room for in memory, if its publisher won't publish it again.
func TestWhoMissesARefusedFrameIsTold(t *testing.T) {
	t.Parallel()
	x := newLossTest(t, "a", "b", "c")
	x.subscribe("row", "b")
	release := holdLoop(x.e, x.h.id("a"))
	all := x.e.budget.Ceiling()
	x.e.budget.Add(budget.Outside, all)
	lossy := aFrame()
	lossy.Lossy = true
	for f, a := range map[*Frame]*Audience{aFrame(): {Key: "row"}, lossy: nil} {
		if got := x.e.Publish(f, a); !got.Refused || got.Lossy+got.Reliable != 1 {
			t.Errorf("dropped %+v", got)
		}
		if !f.Lossy {
			x.e.Lost(Gap{}, a, LossMemory)
		}
	}
	x.e.Publish(aFrame(), &Audience{Clients: []uint64{x.h.id("c")}}) // who is to be sent it again
	x.e.budget.Add(budget.Outside, -all)
	for range 4 {
		x.e.Publish(aFrame(), &Audience{Clients: []uint64{x.h.id("a")}})
	}
	release()
	x.expectTold("b")
}

// Of more audiences than a mailbox remembers, all clients are told.
func TestMoreLossesThanAreRemembered(t *testing.T) {
	t.Parallel()
	for extra, told := range [][]string{{"b"}, {"a", "b"}} {
		t.Run(fmt.Sprint(told), func(t *testing.T) {
			t.Parallel()
			x := newLossTest(t, "a", "b")
			to := []*Audience{{Label: LabelUser, Names: []string{"b"}}}
			for i := range lostAudiences - 1 + extra {
				to = append(to, &Audience{Label: LabelUser, Names: []string{fmt.Sprint("nobody", i)}})
			}
			x.lose(aFrame, to...)
			x.expectTold(told...)
		})
	}
}

func TestLossesAreBounded(t *testing.T) {
	var s losses
	f := FrameOf(make([]byte, 10))
	long := func(i int) string { return strings.Repeat(fmt.Sprint(i), lostBytes/8) }
	for i := range 7 {
		for range 2 {
			s.note(f, &Audience{Key: long(i)})
		}
	}
	if len(s.some) != 7 || s.more || s.bytes > lostBytes {
		t.Fatalf("%d audiences, %d bytes, more %v", len(s.some), s.bytes, s.more)
	}
	s.note(&Frame{Lossy: true}, nil)
	s.note(f, &Audience{Key: long(8)})
	s.note(f, &Audience{Key: long(9)})
	if len(s.some) != 1 || s.some[0].Audience != nil || !s.more {
		t.Errorf("%d audiences, %d bytes, more %v", len(s.some), s.bytes, s.more)
	}
}

// A client that is catching up is told behind that, and not of events, which the log has.
func TestLossWhileCatchingUp(t *testing.T) {
	t.Parallel()
	for _, seq := range []uint64{0, 1} {
		x := newLossTest(t, "a")
		p := dial(t, x.e, "hold=1&name=apart&user=apart")
		id := x.h.id("apart")
		on(t, x.e, id, func(c *Client) { c.SendPage([]*Frame{text("page 1")}, 0) })
		p.Expect(ws.OpText, "page 1")
		x.lose(func() *Frame {
			f := aFrame()
			f.Seq = seq
			return f
		}, &Audience{Label: LabelUser, Names: []string{"apart"}})
		on(t, x.e, id, func(c *Client) { c.PinReplay() })
		on(t, x.e, id, func(c *Client) { c.GoLive([]*Frame{text("page 2")}, 1) })
		if seq == 0 {
			p.Expect(ws.OpText, "lost")
		}
		p.Expect(ws.OpText, "page 2")
		x.expectTold()
		p.Expect(ws.OpText, "end")
	}
}

// A subscription that is being decided about has a newer snapshot fetched, and nothing comes ahead of that. Its client is
// told of an update that stands among stored snapshots, and is in none.
func TestLossWhileASubscriptionIsPending(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		row  *RowPlace
		told []string
	}{{}, {row: &RowPlace{Row: "row", Version: 1, Snapshot: true}}, {&RowPlace{Row: "row", Version: 1}, []string{"b"}}} {
		t.Run(fmt.Sprintf("%+v", c.row), func(t *testing.T) {
			t.Parallel()
			x := newLossTest(t, "a", "b")
			var ticket uint64
			on(t, x.e, x.h.id("b"), func(c *Client) { ticket, _ = c.SubscribePending("row") })
			x.lose(func() *Frame {
				f := aFrame()
				f.Row = c.row
				return f
			}, &Audience{Key: "row"})
			x.expectTold(c.told...)
			x.e.Publish(text("update"), &Audience{Key: "row"})
			for _, want := range []Released{ReleasedAgain, ReleasedLive} {
				on(t, x.e, x.h.id("b"), func(c *Client) {
					if got := c.ReleaseSubscription("row", ticket, text("snapshot"), 0); got != want {
						t.Errorf("released: %v, want %v", got, want)
					}
				})
				x.e.Publish(text("another"), &Audience{Key: "row"})
			}
			x.peers["b"].Expect(ws.OpText, "snapshot")
			x.peers["b"].Expect(ws.OpText, "another")
			x.peers["b"].Expect(ws.OpText, "another")
		})
	}
}
