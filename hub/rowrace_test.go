package hub

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/eventloop"
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

// docs/protocol.md section 2: whatever is published, lost and too much while a row is being fetched, a client gets a
// snapshot first, and behind it updates without a gap. Of a stored row one may be missing where the client is told that
// something is lost.
func TestSnapshotComesFirst(t *testing.T) {
	for name, fetched := range map[string]bool{"fetched": true, "stored": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var newest atomic.Int64
			answers := make(chan struct{}, 8)
			h := start(t, func(o *Options) {
				o.Workers, o.Loops.Slow.Policy, o.Loops.Slow.LagBytes = 1, eventloop.DropOldest, 2000
				o.Logger = slog.New(slog.DiscardHandler)
				if fetched {
					o.Rows.Fetch = func(ctx context.Context, _ *Identity, _, _ string) ([]byte, bool, error) {
						answer := fmt.Appendf(nil, "%d ", newest.Load())
						<-answers
						return answer, true, ctx.Err()
					}
				}
			})
			random := rand.New(rand.NewPCG(1, 2))
			publish := func(kind RowKind) {
				payload := fmt.Appendf(nil, "%d %s", newest.Add(1), strings.Repeat("x", random.IntN(1000)))
				if err := h.PublishRow(kind, "", "E", "r", payload); err != nil {
					t.Fatal(err)
				}
			}
			for range 25 {
				publish(Snapshot) // updates before it are in no other
				if !fetched {     // it waits for its turn
					if _, err := h.queues.fetches.Go(fairqueue.Owner{}, 1, func(context.Context) { <-answers }); err != nil {
						t.Fatal(err)
					}
				}
				c := listen(t, h, "alice", "?since=0")
				c.sendAndSettle(subscribeRow)
				for range 1 + random.IntN(8) {
					switch n := random.IntN(10); {
					case n < 6:
						publish(Incremental)
					case n < 7 && !fetched:
						publish(Snapshot)
					case n < 8:
						newest.Add(1)
						h.engine.Lost(eventloop.Gap{}, &eventloop.Audience{Key: keyOfRow("E", "r")}, eventloop.LossMemory)
					case n < 9 && fetched && len(answers) == 0:
						answers <- struct{}{}
					default:
						handled(t, h)
					}
				}
				stop := make(chan struct{})
				var answering sync.WaitGroup
				answering.Go(func() {
					for {
						select {
						case answers <- struct{}{}:
						case <-stop:
							return
						}
					}
				})
				publish(Incremental)
				followsSnapshot(t, c, int(newest.Load()), fetched)
				_ = c.CloseNow()
				eventually(t, "it has left", func() bool { return h.ClientCount() == 0 })
				close(stop)
				answering.Wait()
				for len(answers) > 0 {
					<-answers
				}
			}
		})
	}
}

// followsSnapshot reads a row up to its newest update.
func followsSnapshot(t *testing.T, c *listener, last int, repeats bool) {
	t.Helper()
	told := false
	for at := -1; at != last; {
		m := c.next()
		if m.kind == websocket.MessageText {
			told = true
			continue
		}
		f, err := ParseRowFrame(m.data)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		if _, err := fmt.Sscan(string(f.Payload), &n); err != nil {
			t.Fatal(err)
		}
		if f.Kind == Incremental && (at < 0 || n > at+1 && !told) || n <= at && !repeats {
			t.Fatalf("behind %d came %d of kind %x; told of a loss: %v", at, n, f.Kind, told)
		}
		at = max(at, n)
	}
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
