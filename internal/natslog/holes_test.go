package natslog

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/natsconn"
	"github.com/busbar-ws/busbar/internal/natstest"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// Messages that aren't republished to a node, and such as were deleted, or are no changes.
func testHoles(t *testing.T, c *natstest.Cluster) {
	o := named(t, c, "holes")
	a, b := open(t, o), cut(t, open(t, o))
	follow(a)
	start := a.Bounds().Last
	f := follow(b)
	mustAppend(t, a, changeOf("1"), changeOf("2"), changeOf("3"))
	mustAppend(t, b, changeOf("4")) // which the poll gets at once
	if got := seqsOf(f.had()); !slices.Equal(got, []uint64{start + 1, start + 2, start + 3, start + 4}) {
		t.Errorf("delivered %v", got)
	}
	if err := a.stream.DeleteMsg(within(t), start+2); err != nil {
		t.Fatal(err)
	}
	if _, err := a.js.Publish(within(t), a.subject(), []byte("no change")); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, a, changeOf("6"))
	d := open(t, o)
	page, err := d.Range(within(t), start, 100)
	if got := seqsOf(page.Entries); err != nil || !slices.Equal(got, []uint64{start + 1, start + 3, start + 4, start + 6}) {
		t.Errorf("got %v, %v", got, err)
	}
	prev := start
	for _, e := range page.Entries {
		if e.Prev != prev {
			t.Errorf("%d is behind %d, not %d", e.Seq, e.Prev, prev)
		}
		prev = e.Seq
	}
}

// What the leader is asked for comes as it is stored, up to the first hole, and not more than was asked for.
func testReadOfLeader(t *testing.T, c *natstest.Cluster) {
	l := open(t, named(t, c, "leader"))
	follow(l)
	start := l.Bounds().Last
	mustAppend(t, l, slices.Repeat([]hub.Change{changeOf("r")}, leaderMessages+10)...)
	hole := start + leaderMessages + 5
	if err := l.stream.DeleteMsg(within(t), hole); err != nil {
		t.Fatal(err)
	}
	if _, err := l.askLeader(within(t)); err != nil {
		t.Fatal(err)
	}
	for _, q := range []struct {
		from        uint64
		limit       int
		first, last uint64
	}{
		{start + 1, 1000, start + 1, start + leaderMessages},
		{start + 1, 3, start + 1, start + 3},
		{hole - 2, 1000, hole - 2, hole - 1},
		{hole, 1000, hole + 1, hole + 1},
		{start + leaderMessages + 10, 1000, start + leaderMessages + 10, start + leaderMessages + 10},
	} {
		got, err := l.readLeader(within(t), q.from, q.limit)
		if err != nil || got[0].seq != q.first || got[len(got)-1].seq != q.last || uint64(len(got)) != q.last-q.first+1 {
			t.Errorf("from %d on, %d at most: %d messages, %v", q.from-start, q.limit, len(got), err)
		}
	}
	if _, err := l.readLeader(within(t), start+leaderMessages+11, 1000); !errors.Is(err, jetstream.ErrMsgNotFound) {
		t.Errorf("behind the newest: %v", err)
	}
}

// What is read to fill a hole goes on behind it, up to the newest, and may hold what was republished and waits.
func testHoleInABatch(t *testing.T, c *natstest.Cluster) {
	o := named(t, c, "waiting")
	a, b := open(t, o), open(t, o)
	follow(a)
	start := b.Bounds().Last
	mustAppend(t, a, changeOf("1"), changeOf("2"), changeOf("3"), changeOf("4"))
	var waiting []*nats.Msg
	for range 4 {
		m, err := b.feed.NextMsgWithContext(within(t))
		if err != nil {
			t.Fatal(err)
		}
		waiting = append(waiting, m)
	}
	var f follower
	b.deliver = f.take
	b.takeRepublished(waiting[2:])
	if got := seqsOf(f.had()); !slices.Equal(got, []uint64{start + 1, start + 2, start + 3, start + 4}) {
		t.Errorf("delivered %v, behind %d", got, start)
	}
}

// What has come and waits to be delivered isn't lost when the stream has let go of it meanwhile.
func testLetGoWhileWaiting(t *testing.T, c *natstest.Cluster) {
	o := named(t, c, "letgo")
	o.MaxEvents = 10
	a, b := open(t, o), open(t, o)
	follow(a)
	var f follower
	stands, goesOn := make(chan struct{}, 1), make(chan struct{})
	b.Follow(func(entries []hub.Entry) {
		select {
		case stands <- struct{}{}:
		default:
		}
		<-goesOn
		f.take(entries)
	})
	done := mustAppend(t, a, changeOf("r"))
	<-stands
	done = append(done, mustAppend(t, a, slices.Repeat([]hub.Change{changeOf("r")}, 3*readMessages)...)...)
	wstest.Eventually(t, "all have come", func() bool {
		taken, err := b.feed.Delivered()
		waiting, _, errWaiting := b.feed.Pending()
		return errors.Join(err, errWaiting) == nil && int(taken)+waiting >= len(done)
	})
	time.AfterFunc(3*pollGrace, func() { close(goesOn) }) // it stands still for longer than the poll waits
	if err := b.follow(done[len(done)-1].Seq); err != nil {
		t.Error(err)
	}
	var want []uint64
	for _, d := range done {
		want = append(want, d.Seq)
	}
	if got := seqsOf(f.had()); !slices.Equal(got, want) {
		t.Errorf("delivered %d events of %d", len(got), len(want))
	}
}

// A leader that is new may not have what the one before it republished.
func testHoleAtANewLeader(t *testing.T, c *natstest.Cluster) {
	o := named(t, c, "newleader")
	a, b := open(t, o), open(t, o)
	follow(a)
	start := b.Bounds().Last
	mustAppend(t, a, changeOf("1"))
	third := nats.NewMsg(b.feedSubject())
	third.Data = hub.EncodeChange(new(changeOf("3")))
	third.Header.Set(jetstream.SequenceHeader, fmt.Sprint(start+3))
	third.Header.Set(natsconn.LastSequence, fmt.Sprint(start+2))
	var f follower
	b.deliver = f.take
	b.takeRepublished([]*nats.Msg{third})
	if got := seqsOf(f.had()); !slices.Equal(got, []uint64{start + 1}) {
		t.Errorf("delivered %v, behind %d", got, start)
	}
	mustAppend(t, a, changeOf("2"), changeOf("3"))
	b.start()
	wstest.Eventually(t, "all are delivered", func() bool { return b.Bounds().Last == start+3 })
	if got := seqsOf(f.had()); !slices.Equal(got, []uint64{start + 1, start + 2, start + 3}) {
		t.Errorf("delivered %v, behind %d", got, start)
	}
}

// cut has a log get nothing of what is republished.
func cut(t *testing.T, l *Log) *Log {
	t.Helper()
	if err := l.feed.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	return l
}

// What the stream let go of before this node had it is lost to the node's clients, also when nothing comes behind it.
func testPurged(t *testing.T, c *natstest.Cluster) {
	o := named(t, c, "purged")
	a, b := open(t, o), cut(t, open(t, o))
	follow(a)
	start := a.Bounds().Last
	mustAppend(t, a, changeOf("1"), changeOf("2"))
	if err := a.stream.Purge(within(t)); err != nil {
		t.Fatal(err)
	}
	f := follow(b)
	wstest.Eventually(t, "the loss is delivered", func() bool { return len(f.had()) > 0 })
	if got := f.had()[0]; got.Seq != start+2 || got.Prev != start+2 || got.JSON != nil {
		t.Errorf("got %+v, behind %d", got, start)
	}
	if got, want := b.Bounds(), (hub.Bounds{Oldest: start + 3, Last: start + 2, Before: start + 2, Trimmed: true}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if _, err := b.Range(within(t), start, 10); !errors.As(err, new(*hub.ResyncError)) {
		t.Errorf("a cursor that is too old: %v", err)
	}
	if page, err := b.Range(within(t), start+2, 10); err != nil || len(page.Entries) != 0 {
		t.Errorf("the newest as cursor: %d entries, %v", len(page.Entries), err)
	}
	mustAppend(t, a, changeOf("3"))
	wstest.Eventually(t, "what comes then is delivered", func() bool { return len(f.had()) == 2 })
	if got := f.had()[1]; got.Seq != start+3 || got.Prev != start+2 {
		t.Errorf("got %d behind %d", got.Seq, got.Prev)
	}
}

// Messages that an admin deletes at the stream's end are nothing to wait for.
func testNewestDeleted(t *testing.T, c *natstest.Cluster) {
	o := named(t, c, "newestdeleted")
	o.TailBytes = 1 // so that all is read from the stream
	a, behind := open(t, o), cut(t, open(t, o))
	follow(a)
	start := a.Bounds().Last
	mustAppend(t, a, changeOf("1"), changeOf("2"), changeOf("3"))
	for seq := start + 2; seq <= start+3; seq++ {
		if err := a.stream.DeleteMsg(within(t), seq); err != nil {
			t.Fatal(err)
		}
	}
	if page, err := a.Range(within(t), start+1, 10); err != nil || len(page.Entries) != 0 || page.Last != start+3 {
		t.Errorf("at a node that had them: %+v, %v", page, err)
	}
	f := follow(behind)
	wstest.Eventually(t, "the loss is delivered", func() bool { return len(f.had()) == 2 })
	if got := f.had()[1]; got.Seq != start+3 || got.Prev != start+3 || got.JSON != nil {
		t.Errorf("got %+v, behind %d", got, start)
	}
	o.TailBytes = 25_000
	fresh := open(t, o)
	follow(fresh)
	if _, err := fresh.Range(within(t), start+3, 10); !errors.As(err, new(*hub.ResyncError)) {
		t.Errorf("the newest as cursor at a new node: %v", err)
	}
	mustAppend(t, fresh, changeOf("4"))
}
