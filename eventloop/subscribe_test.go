package eventloop

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// subscriber is an engine with one client, and what tests do with its subscriptions.
type subscriber struct {
	*peer
	e  *Engine
	id uint64
}

func newSubscriber(t *testing.T, tune ...func(*Options)) *subscriber {
	h := &host{}
	e := start(t, h, tune...)
	p := dial(t, e, "name=x")
	return &subscriber{p, e, h.id("x")}
}

func (s *subscriber) pending(name string) (ticket uint64, ok bool) {
	s.T.Helper()
	on(s.T, s.e, s.id, func(c *Client) { ticket, ok = c.SubscribePending(name) })
	return ticket, ok
}

func (s *subscriber) release(name string, ticket uint64, snapshot string, version uint64) (r Released) {
	s.T.Helper()
	var f *Frame
	if snapshot != "" {
		f = text("%s", snapshot)
	}
	on(s.T, s.e, s.id, func(c *Client) { r = c.ReleaseSubscription(name, ticket, f, version) })
	return r
}

func (s *subscriber) update(name string, version uint64) {
	f := text("%s %d", name, version)
	if version > 0 {
		f.Row = &RowPlace{Row: name, Version: version}
	}
	s.e.Publish(f, &Audience{Key: name})
}

// empty checks that nothing of a subscription is kept.
func (s *subscriber) empty() {
	s.T.Helper()
	everyLoop(s.T, s.e, func(l *Loop) {
		if n, m := len(l.subs.pending), l.subs.Count(); n != 0 || m != 0 {
			s.T.Errorf("%d pending, %d subscriptions are left", n, m)
		}
	})
	if s.e.Wanted("row") || s.e.table.Keys() != 0 {
		s.T.Errorf("%d names are wanted still", s.e.table.Keys())
	}
}

// docs/protocol.md section 2: no update may fall between the snapshot and the first live update, and
// none that the snapshot has comes again.
func TestPendingSubscription(t *testing.T) {
	t.Parallel()
	s := newSubscriber(t)
	ticket, ok := s.pending("row")
	if !ok || ticket == 0 {
		t.Fatalf("pending: %d, %v", ticket, ok)
	}
	if _, again := s.pending("row"); again {
		t.Error("asked for twice, fetched twice")
	}
	for v := uint64(1); v <= 5; v++ {
		s.update("row", v)
	}
	s.e.Publish(text("for all"), nil)
	s.Expect(ws.OpText, "for all") // nothing of the row so far
	if got := s.release("row", ticket, "snapshot 3", 3); got != ReleasedLive {
		t.Fatalf("released: %v", got)
	}
	s.update("row", 6)
	for _, want := range []string{"snapshot 3", "row 4", "row 5", "row 6"} {
		s.Expect(ws.OpText, want)
	}
	if got := s.release("row", ticket, "again", 9); got != ReleasedNone {
		t.Errorf("released twice: %v", got)
	}
	on(t, s.e, s.id, func(c *Client) { c.Unsubscribe("row") })
	s.empty()
}

// A version of 0 is unknown: nothing is left out.
func TestPendingWithoutVersions(t *testing.T) {
	t.Parallel()
	s := newSubscriber(t)
	ticket, _ := s.pending("row")
	s.update("row", 1)
	s.update("row", 0)
	s.release("row", ticket, "snapshot", 0)
	for _, want := range []string{"snapshot", "row 1", "row 0"} {
		s.Expect(ws.OpText, want)
	}
}

// docs/protocol.md section 2: denied: nothing at all, and what was held back is dropped.
func TestDeniedSubscription(t *testing.T) {
	t.Parallel()
	s := newSubscriber(t)
	ticket, _ := s.pending("row")
	s.update("row", 1)
	on(t, s.e, s.id, func(c *Client) { c.CancelSubscription("row", ticket) })
	s.update("row", 2)
	s.e.Publish(text("for all"), nil)
	s.Expect(ws.OpText, "for all")
	s.empty()
}

// The answer to an earlier question doesn't answer a later one.
func TestResubscribeWhilePending(t *testing.T) {
	t.Parallel()
	s := newSubscriber(t)
	old, _ := s.pending("row")
	on(t, s.e, s.id, func(c *Client) { c.Unsubscribe("row") })
	s.empty()
	if got := s.release("row", old, "late", 1); got != ReleasedNone {
		t.Errorf("released after unsubscribing: %v", got)
	}
	fresh, ok := s.pending("row")
	if !ok || fresh == old {
		t.Fatalf("ticket %d again, %v", fresh, ok)
	}
	s.update("row", 7)
	if got := s.release("row", old, "late", 1); got != ReleasedNone {
		t.Errorf("released by an old ticket: %v", got)
	}
	on(t, s.e, s.id, func(c *Client) { c.CancelSubscription("row", old) })
	if got := s.release("row", fresh, "snapshot", 6); got != ReleasedLive {
		t.Errorf("released: %v", got)
	}
	s.Expect(ws.OpText, "snapshot")
	s.Expect(ws.OpText, "row 7")
}

// docs/protocol.md section 2: more than LagBytes while the snapshot is fetched: there would be a gap behind it, so it
// isn't sent, and neither is what comes before a newer one.
func TestPendingOverflow(t *testing.T) {
	t.Parallel()
	s := newSubscriber(t, func(o *Options) { o.Slow.LagBytes = 1000 })
	ticket, _ := s.pending("row")
	for range 10 {
		s.e.Publish(text("%s", strings.Repeat("x", 300)), &Audience{Key: "row"})
	}
	for range 2 {
		if got := s.release("row", ticket, "too old", 0); got != ReleasedAgain {
			t.Fatalf("released: %v", got)
		}
		s.update("row", 0)
		on(t, s.e, s.id, func(c *Client) { c.CancelSubscription("row", ticket) })
		s.empty()
		ticket, _ = s.pending("row")
		s.e.Publish(text("%s", strings.Repeat("x", 1000)), &Audience{Key: "row"})
		s.update("row", 0)
	}
	s.release("row", ticket, "too old", 0)
	on(t, s.e, s.id, func(c *Client) { c.CancelSubscription("row", ticket) })
	ticket, _ = s.pending("row")
	s.update("row", 0)
	if got := s.release("row", ticket, "newer", 0); got != ReleasedLive {
		t.Fatalf("released: %v", got)
	}
	s.e.Publish(text("live"), &Audience{Key: "row"})
	for _, want := range []string{"newer", "row 0", "live"} {
		s.Expect(ws.OpText, want)
	}
}

// The same of a row's updates that stand among stored snapshots, and are in none of them: the client is told that it has
// lost some, whether it was subscribed or not, and gets none ahead of the snapshot. Where a snapshot has those that
// can't be held back, nothing is lost.
func TestPendingOverflowOfStoredRows(t *testing.T) {
	t.Parallel()
	for _, subscribed := range []bool{false, true} {
		for _, superseded := range []bool{false, true} {
			t.Run(fmt.Sprintf("subscribed %v, superseded %v", subscribed, superseded), func(t *testing.T) {
				t.Parallel()
				h := &host{onLoss: func(*Client) *Frame { return text("lost") }}
				e := start(t, h, func(o *Options) { o.Slow.LagBytes = 1000 })
				s := &subscriber{dial(t, e, "name=x"), e, h.id("x")}
				if subscribed {
					on(t, e, s.id, func(c *Client) { c.Subscribe("row") })
				}
				ticket, _ := s.pending("row")
				publish := func(version uint64, size int, snapshot bool) {
					f := text("%d%s", version, strings.Repeat("x", size))
					f.Row = &RowPlace{Row: "row", Version: version, Snapshot: snapshot}
					e.Publish(f, &Audience{Key: "row"})
				}
				publish(5, 600, false)
				publish(6, 300, superseded)
				publish(7, 500, false)
				publish(8, 0, false)
				want := []string{"snapshot 4", "6" + strings.Repeat("x", 300), "7" + strings.Repeat("x", 500), "8", "9"}
				if !superseded {
					s.Expect(ws.OpText, "lost")
					if got := s.release("row", ticket, "snapshot 3", 3); got != ReleasedAgain {
						t.Errorf("released: %v", got)
					}
					want = slices.Delete(want, 1, 2)
				}
				if got := s.release("row", ticket, "snapshot 4", 4); got != ReleasedLive {
					t.Errorf("released: %v", got)
				}
				publish(9, 0, false)
				for _, w := range want {
					s.Expect(ws.OpText, w)
				}
				if n := e.Stats().LagSuperseded; superseded != (n == 1) {
					t.Errorf("%d superseded", n)
				}
			})
		}
	}
}

// Whoever subscribes again goes on to get what has no place among snapshots, and gets it behind
// the snapshot once more. What has a place waits for it.
func TestSubscribingAgain(t *testing.T) {
	t.Parallel()
	s := newSubscriber(t, func(o *Options) { o.Slow.LagBytes = 1000 })
	on(t, s.e, s.id, func(c *Client) { c.Subscribe("row") })
	ticket, _ := s.pending("row")
	s.update("row", 0)
	s.Expect(ws.OpText, "row 0")
	s.update("row", 3)
	s.update("row", 5)
	s.release("row", ticket, "snapshot 4", 4)
	for _, want := range []string{"snapshot 4", "row 0", "row 5"} {
		s.Expect(ws.OpText, want)
	}

	ticket, _ = s.pending("row")
	for range 300 { // of some 5 bytes: more than is held back
		s.update("row", 0)
	}
	if got := s.release("row", ticket, "too old", 0); got != ReleasedAgain {
		t.Errorf("released: %v", got)
	}
	s.update("row", 0)
	s.release("row", ticket, "snapshot", 0)
	for range 301 {
		s.Expect(ws.OpText, "row 0")
	}
	for _, want := range []string{"snapshot", "row 0"} {
		s.Expect(ws.OpText, want)
	}
}

// A snapshot that can't be fetched: who was subscribed stays so and misses nothing.
func TestCancelledSubscriptions(t *testing.T) {
	t.Parallel()
	s := newSubscriber(t)
	ticket, _ := s.pending("row")
	s.update("row", 1)
	on(t, s.e, s.id, func(c *Client) {
		c.CancelSubscription("row", ticket)
		if c.Subscribed("row") {
			t.Error("subscribed without an answer")
		}
		c.Subscribe("row")
	})
	ticket, _ = s.pending("row")
	s.update("row", 2)
	on(t, s.e, s.id, func(c *Client) { c.CancelSubscription("row", ticket) })
	s.update("row", 3)
	s.Expect(ws.OpText, "row 2")
	s.Expect(ws.OpText, "row 3")
	on(t, s.e, s.id, func(c *Client) { c.Unsubscribe("row") })
	s.empty()
}

// What is published for others than a subscriber may mean that it may not read the row any more:
// what is being fetched for it isn't sent.
func TestSupersededSnapshot(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h)
	s := &subscriber{dial(t, e, "name=x&tenant=mine"), e, h.id("x")}
	ticket, _ := s.pending("row")
	e.Publish(text("theirs"), &Audience{Key: "row", Label: LabelTenant, Names: []string{"others"}})
	if got := s.release("row", ticket, "old", 1); got != ReleasedAgain {
		t.Errorf("released: %v", got)
	}
	s.release("row", ticket, "", 0) // there is none for it
	e.Publish(text("theirs again"), &Audience{Key: "row", Label: LabelTenant, Names: []string{"others"}})
	e.Publish(text("mine again"), &Audience{Key: "row", Label: LabelTenant, Names: []string{"mine"}})
	s.Expect(ws.OpText, "mine again")
}

// Of a row that has stored snapshots only those are that: what is held back of updates stays when another is for others.
func TestUpdateForOthersWhilePending(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := start(t, h)
	s := &subscriber{dial(t, e, "name=x&tenant=mine"), e, h.id("x")}
	ticket, _ := s.pending("row")
	theirs := func(version uint64, snapshot bool) {
		f := text("theirs %d", version)
		f.Row = &RowPlace{Row: "row", Version: version, Snapshot: snapshot}
		e.Publish(f, &Audience{Key: "row", Label: LabelTenant, Names: []string{"others"}})
	}
	s.update("row", 2)
	theirs(3, false)
	s.update("row", 4)
	if got := s.release("row", ticket, "snapshot", 1); got != ReleasedLive {
		t.Errorf("released: %v", got)
	}
	for _, want := range []string{"snapshot", "row 2", "row 4"} {
		s.Expect(ws.OpText, want)
	}
	ticket, _ = s.pending("row")
	s.update("row", 5)
	theirs(6, true)
	if got := s.release("row", ticket, "old", 4); got != ReleasedAgain {
		t.Errorf("released: %v", got)
	}
	s.release("row", ticket, "", 6)
	s.update("row", 7)
	s.Expect(ws.OpText, "row 7")
}

// docs/protocol.md section 2: subscriptions end with the connection, pending ones too.
func TestSubscriptionsEndWithTheConnection(t *testing.T) {
	t.Parallel()
	s := newSubscriber(t)
	for i := range 10 {
		s.pending(fmt.Sprint("row", i))
		on(t, s.e, s.id, func(c *Client) {
			c.Subscribe(fmt.Sprint("topic", i))
			if c.Subscribe(fmt.Sprint("topic", i)) || c.Subscriptions() != 2*(i+1) {
				t.Errorf("twice isn't the same as once: %d subscriptions", c.Subscriptions())
			}
		})
	}
	s.Close()
	eventually(t, "it has gone", func() bool { return s.e.Connections() == 0 })
	s.empty()
	if d := s.e.Publish(text("x"), &Audience{Key: "topic1"}); d.Any() {
		t.Errorf("dropped %+v", d)
	}
}

// A server's Close ends them at once, not when the peer has answered.
func TestSubscriptionsEndWithClose(t *testing.T) {
	t.Parallel()
	s := newSubscriber(t)
	ticket, _ := s.pending("row")
	on(t, s.e, s.id, func(c *Client) {
		c.Close(1000, "", CauseServerClosed)
		if _, ok := c.SubscribePending("row"); ok || c.Subscribe("topic") {
			t.Error("subscribed behind its Close")
		}
		if got := c.ReleaseSubscription("row", ticket, text("x"), 0); got != ReleasedNone {
			t.Errorf("released behind its Close: %v", got)
		}
	})
	s.empty()
	s.ExpectClose(1000)
	must(t, s.SetReadDeadline(time.Now().Add(patience)))
	s.Say(wsClose(1000))
	s.ExpectEnd()
}
