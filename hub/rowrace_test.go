package hub

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/internal/fairqueue"
)

// counted is the number in a row frame's payload.
func counted(t *testing.T, m received) (kind RowKind, n int) {
	t.Helper()
	f, err := ParseRowFrame(m.data)
	if err != nil {
		t.Fatalf("%v: %s", err, m)
	}
	n, err = strconv.Atoi(string(f.Payload))
	if err != nil {
		t.Fatal(err)
	}
	return f.Kind, n
}

const subscribeRow = `{"type":"crdt-subscribe","entity":"E","rowId":"r"}`

// followers subscribe to the row at different times while publish is called with 1, 2, 3…
// at full speed, and are given to check when it has ended.
func followers(t *testing.T, h *Hub, publish func(n int), check func(c *listener, last int)) {
	const clients = 6
	var most atomic.Int64
	var done atomic.Bool
	var publisher sync.WaitGroup
	publisher.Go(func() {
		for n := 1; n <= 20_000 && !done.Load(); n++ {
			publish(n)
			most.Store(int64(n))
		}
	})
	var all []*listener
	for i := range clients {
		c := listen(t, h, fmt.Sprintf("user%d", i), "")
		c.sendAndSettle(subscribeRow)
		all = append(all, c)
	}
	eventually(t, "everyone is subscribed", func() bool { return h.SubscriptionCount() == clients })
	done.Store(true)
	publisher.Wait()
	for _, c := range all {
		check(c, int(most.Load()))
	}
}

// docs/protocol.md section 2, built-in store: the snapshot, and then every one that is published, once, and never an
// older one behind a newer, but for those that a client which lagged was sent newer ones instead of.
func TestCounterFromTheStore(t *testing.T) {
	h := start(t, roomy)
	publish := func(n int) {
		if err := h.PublishRow(Snapshot, "", "E", "r", []byte(strconv.Itoa(n))); err != nil {
			t.Error(err)
		}
	}
	publish(0)
	missing := 0
	followers(t, h, publish, func(c *listener, last int) {
		_, at := counted(t, c.next())
		for at < last {
			_, n := counted(t, c.next())
			if n <= at {
				t.Fatalf("behind %d came %d", at, n)
			}
			missing += n - at - 1
			at = n
		}
	})
	if n := h.Stats().LagSuperseded; missing != int(n) {
		t.Errorf("%d were missing, and %d superseded", missing, n)
	}
}

// docs/protocol.md section 2 and 6: the same with a SnapshotFetcher that takes its time. It knows nothing of
// versions, so updates that the snapshot has already may come behind it; none is missing.
func TestCounterFromASlowFetcher(t *testing.T) {
	var current atomic.Int64
	h := start(t, func(o *Options) {
		roomy(o)
		o.Rows.Fetch = func(ctx context.Context, _ *Identity, _, _ string) ([]byte, bool, error) {
			before := current.Load()
			for n := 0; n < 1000 && current.Load() < before+50 && ctx.Err() == nil; n++ {
				runtime.Gosched()
			}
			return []byte(strconv.FormatInt(before, 10)), true, nil
		}
	})
	publish := func(n int) {
		current.Store(int64(n))
		if err := h.PublishRow(Incremental, "", "E", "r", []byte(strconv.Itoa(n))); err != nil {
			t.Error(err)
		}
	}
	followers(t, h, publish, func(c *listener, last int) {
		kind, at := counted(t, c.next())
		if kind != Snapshot {
			t.Fatalf("an update came first: %d", at)
		}
		newest := at
		for at < last {
			kind, n := counted(t, c.next())
			if kind != Incremental || n > at+1 || (n != at+1 && at != newest) {
				t.Fatalf("behind %d (snapshot %d) came %d of kind %x", at, newest, n, kind)
			}
			at, newest = n, min(newest, n-1)
		}
	})
}

// docs/protocol.md section 3, order: an update from before a snapshot doesn't come behind it, when both are
// published while the subscription is being decided about.
func TestPendingUpdatesBeforeTheSnapshot(t *testing.T) {
	h := start(t, func(o *Options) {
		roomy(o)
		o.Workers = 1
	})
	busy := make(chan struct{})
	if _, err := h.queues.fetches.Go(fairqueue.Owner{}, 1, func(context.Context) { <-busy }); err != nil {
		t.Fatal(err)
	}
	c := listen(t, h, "alice", "")
	c.sendAndSettle(subscribeRow)
	for _, p := range []struct {
		kind    RowKind
		payload string
	}{{Snapshot, "1"}, {Incremental, "2"}, {Snapshot, "3"}, {Incremental, "4"}} {
		if err := h.PublishRow(p.kind, "", "E", "r", []byte(p.payload)); err != nil {
			t.Fatal(err)
		}
	}
	handled(t, h)
	close(busy)
	if kind, n := counted(t, c.next()); kind != Snapshot || n != 3 {
		t.Fatalf("%d of kind %x came first", n, kind)
	}
	if kind, n := counted(t, c.next()); kind != Incremental || n != 4 {
		t.Fatalf("behind the snapshot came %d of kind %x", n, kind)
	}
	nothingMore(t, h, c)
}

// nextBinary passes over what tells that others have left.
func nextBinary(l *listener) received {
	l.T.Helper()
	m := l.next()
	for m.kind == websocket.MessageText {
		m = l.next()
	}
	return m
}

// Publishers of one row that run at the same time agree about which of their snapshots
// is the newest: what subscribers get last is what the store has.
func TestConcurrentSnapshotsNeverGoBack(t *testing.T) {
	h := start(t, roomy)
	if err := h.PublishRow(Snapshot, "", "E", "r", []byte("0 0")); err != nil {
		t.Fatal(err)
	}
	for round := range 30 {
		early := listen(t, h, "early", "")
		early.sendAndSettle(subscribeRow)
		nextBinary(early)
		var publishers sync.WaitGroup
		for p := range 4 {
			publishers.Go(func() {
				for n := range 25 {
					_ = h.PublishRow(Snapshot, "", "E", "r", fmt.Appendf(nil, "%d %d", p, n))
				}
			})
		}
		publishers.Wait()
		nothingIsLeft := fmt.Sprintf("end of round %d", round)
		if err := h.BroadcastBinary([]byte(nothingIsLeft)); err != nil {
			t.Fatal(err)
		}
		last := ""
		for m := nextBinary(early); !strings.Contains(m.String(), nothingIsLeft); m = nextBinary(early) {
			last = m.String()
		}
		late := listen(t, h, "late", "")
		late.sendAndSettle(subscribeRow)
		if got := nextBinary(late).String(); got != last {
			t.Fatalf("the store has %s, and what was sent last is %s", got, last)
		}
		_, _ = early.CloseNow(), late.CloseNow()
		eventually(t, "both have left", func() bool { return h.ClientCount() == 0 })
	}
}
