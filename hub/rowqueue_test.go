package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/eventloop"
)

// subscribeMany asks for n rows at once.
func subscribeMany(c *client, n int) {
	for i := range n {
		c.Send(fmt.Sprintf(`{"type":"crdt-subscribe","entity":"E","rowId":"%d"}`, i))
	}
}

// rowsOf reads until so many snapshots have come, and says of which rows.
func rowsOf(c *client, n int) (rows []string) {
	c.T.Helper()
	for len(rows) < n {
		if kind, b := c.Next(); kind == websocket.MessageBinary {
			f, err := ParseRowFrame(b)
			if err != nil {
				c.T.Fatal(err)
			}
			rows = append(rows, f.RowID)
		}
	}
	slices.Sort(rows)
	return rows
}

// numbers are the names of n rows, sorted.
func numbers(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprint(i))
	}
	slices.Sort(names)
	return names
}

// docs/protocol.md section 2: a client that comes back for more than it can take at once gets all of it, at the
// pace at which it reads.
func TestSubscribingToMuchAtOnce(t *testing.T) {
	const rows, size = 20, 1 << 20
	payload := []byte(strings.Repeat("x", size))
	var fetches atomic.Int64
	for name, tune := range map[string]func(*Options){
		"stored": func(*Options) {},
		"fetched": func(o *Options) {
			o.Rows.Fetch = func(context.Context, *Identity, string, string) ([]byte, bool, error) {
				fetches.Add(1)
				return slices.Clone(payload), true, nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			fetches.Store(0)
			h := start(t, func(o *Options) {
				tune(o)
				o.Loops.SendBuffer, o.Loops.Slow.LagTime = 64<<10, patience
			})
			if name == "stored" {
				for i := range rows {
					if err := h.PublishRow(Snapshot, "", "E", fmt.Sprint(i), payload); err != nil {
						t.Fatal(err)
					}
				}
			}
			c := connect(t, h, "alice")
			subscribeMany(c, rows)
			eventually(t, "the client is behind", func() bool { return h.Stats().Lagging == 1 })
			eventually(t, "nothing more is fetched", func() bool { return h.queues.fetches.Stats().Running == 0 })
			if n := fetches.Load(); n > 8 {
				t.Errorf("%d rows were fetched for a client that doesn't read", n)
			}
			bufferedAtMost(t, h, 8*size)
			if got := rowsOf(c, rows); !slices.Equal(got, numbers(rows)) {
				t.Errorf("got %v", got)
			}
			if n := h.SubscriptionCount(); n != rows {
				t.Errorf("%d subscriptions", n)
			}
		})
	}
}

// bufferedAtMost fails when more is buffered for good.
func bufferedAtMost(t *testing.T, h *Hub, bytes int64) {
	t.Helper()
	if !comesTrue(func() bool { runtime.GC(); return buffered(h) <= bytes }) {
		t.Errorf("%d bytes wait, want at most %d", buffered(h), bytes)
	}
}

func buffered(h *Hub) (bytes int64) {
	for _, n := range h.Stats().Buffered {
		bytes += n
	}
	return bytes
}

// Many small rows are fetched beside each other.
func TestSmallRowsAreFetchedTogether(t *testing.T) {
	var together, most atomic.Int64
	two := make(chan struct{}) // closed once two are fetched at one time
	var once sync.Once
	h := start(t, func(o *Options) {
		o.Rows.Fetch = func(ctx context.Context, _ *Identity, _, _ string) ([]byte, bool, error) {
			defer together.Add(-1)
			n := together.Add(1)
			if n > most.Load() {
				most.Store(n)
			}
			if n >= 2 {
				once.Do(func() { close(two) })
			}
			select {
			case <-two:
			case <-ctx.Done():
				return nil, false, ctx.Err()
			}
			return []byte("small"), true, nil
		}
	})
	c := connect(t, h, "alice")
	subscribeMany(c, 500)
	rowsOf(c, 500)
	if n := most.Load(); n < 2 || n > mostFetches {
		t.Errorf("%d at most were fetched at one time", n)
	}
}

// docs/protocol.md section 2: at most 16 rows are being fetched for one client, however small they are.
func TestRowsFetchedAtOneTime(t *testing.T) {
	const most = 16
	asked := make(chan struct{})
	h := start(t, func(o *Options) {
		o.Workers, o.Rows.Timeout = 4*most, time.Hour
		o.Rows.Fetch = func(ctx context.Context, _ *Identity, _, row string) ([]byte, bool, error) {
			if row == "0" {
				<-asked
				return []byte("small"), true, nil
			}
			<-ctx.Done()
			return nil, false, ctx.Err()
		}
	})
	c := listen(t, h, "alice", "")
	subscribeMany(c.client, 10*most)
	if err := c.settle(); err != nil {
		t.Fatal(err)
	}
	close(asked)
	c.next() // it is known now how small rows are
	fetching := func() int { s := h.queues.fetches.Stats(); return s.Running + s.Waiting }
	eventually(t, "rows are fetched beside each other", func() bool { return fetching() >= most })
	if err := c.settle(); err != nil { // the loop has had its turn
		t.Fatal(err)
	}
	if !comesTrue(func() bool { return fetching() == most }) { // the first row's fetch ends once its answer is with the loop
		t.Errorf("%d rows are being fetched", fetching())
	}
}

// While fetches hang, one user takes no more than its part of the workers, and nothing of it runs
// on when it has gone.
func TestFetchesThatHang(t *testing.T) {
	var hanging atomic.Int64
	h := start(t, func(o *Options) {
		o.Workers, o.Rows.Timeout = 16, time.Hour
		o.Rows.Fetch = func(ctx context.Context, id *Identity, _, _ string) ([]byte, bool, error) {
			if id.UserID != "greedy" {
				return []byte("x"), true, nil
			}
			hanging.Add(1)
			defer hanging.Add(-1)
			<-ctx.Done()
			return nil, false, ctx.Err()
		}
	})
	var greedy []*client
	for range 8 {
		c := connect(t, h, "greedy")
		subscribeMany(c, 32)
		greedy = append(greedy, c)
	}
	eventually(t, "fetches hang", func() bool { return hanging.Load() > 0 && h.queues.fetches.Stats().Waiting > 0 })
	modest := connect(t, h, "modest")
	subscribeMany(modest, 32)
	rowsOf(modest, 32)
	greedy[0].Send(`{"type":"crdt-unsubscribe","entity":"E","rowId":"0"}`)
	for _, c := range greedy {
		_ = c.CloseNow()
	}
	eventually(t, "what was done for them has ended", func() bool {
		s := h.queues.fetches.Stats()
		return hanging.Load() == 0 && s.Running+s.Waiting == 0
	})
	if n := h.Stats().SnapshotErrors; n != 0 {
		t.Errorf("%d fetches count as failed that were cancelled", n)
	}
}

// docs/protocol.md section 2: a client whose rows stay unavailable is told to come back.
func TestRowsThatStayUnavailable(t *testing.T) {
	h := start(t, func(o *Options) {
		o.Logger = slog.New(slog.DiscardHandler)
		o.Rows.Fetch = func(context.Context, *Identity, string, string) ([]byte, bool, error) {
			return nil, false, errors.New("down")
		}
	})
	c := connect(t, h, "alice")
	if err := h.engine.Each(t.Context(), func(*eventloop.Loop) { h.rowsPatience = firstRetry }); err != nil { // on its loop
		t.Fatal(err)
	}
	subscribeMany(c, 3)
	if code, reason := c.Closed(); code != websocket.StatusTryAgainLater || reason != "rows are unavailable, try again later" {
		t.Errorf("closed with %d %q", code, reason)
	}
	if n := h.Stats().SnapshotErrors; n > 12 {
		t.Errorf("%d fetches", n)
	}
}

// docs/protocol.md section 2: more updates come while a row is fetched than can be held back. The client gets none of them
// ahead of a snapshot, and none is missing behind it; when the service never becomes faster, it is told to come back.
func TestUpdatesFasterThanTheService(t *testing.T) {
	for name, slow := range map[string]int64{"twice": 2, "always": math.MaxInt64} {
		t.Run(name, func(t *testing.T) {
			var newest, fetches atomic.Int64
			h := start(t, func(o *Options) {
				roomy(o)
				o.Loops.Slow.LagBytes = 10_000
				o.Loops.Slow.LagTime = patience
				o.Rows.Fetch = func(ctx context.Context, _ *Identity, _, _ string) ([]byte, bool, error) {
					before := newest.Load()
					if fetches.Add(1) <= slow {
						comesTrue(func() bool { return newest.Load() >= before+100 || ctx.Err() != nil })
					}
					return fmt.Appendf(nil, "%d ", before), true, nil
				}
			})
			var publisher sync.WaitGroup
			c := listen(t, h, "alice", "")
			if err := h.engine.Each(t.Context(), func(*eventloop.Loop) { h.rowsPatience = 10 * firstRetry }); err != nil {
				t.Fatal(err)
			}
			c.sendAndSettle(subscribeRow)
			var stop atomic.Bool
			publisher.Go(func() {
				for n := int64(1); !stop.Load(); n++ {
					newest.Store(n)
					if err := h.PublishRow(Incremental, "", "E", "r", fmt.Appendf(nil, "%d %s", n, strings.Repeat("x", 1000))); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Millisecond) // a publisher's pace
				}
			})
			defer publisher.Wait()
			defer stop.Store(true)
			if slow == math.MaxInt64 {
				if m, err := c.receive(); err == nil {
					t.Errorf("got %s", m)
				}
				if code, reason := c.ended(); code != websocket.StatusTryAgainLater || reason != "rows are unavailable, try again later" {
					t.Errorf("ended with %d %q", code, reason)
				}
				return
			}
			var at, snapshot int64
			for kind := Snapshot; at < snapshot+100; kind = Incremental {
				f, err := ParseRowFrame(c.next().data)
				if err != nil {
					t.Fatal(err)
				}
				var n int64
				if _, err := fmt.Sscan(string(f.Payload), &n); err != nil {
					t.Fatal(err)
				}
				if f.Kind != kind || kind == Incremental && n > max(at, snapshot)+1 {
					t.Fatalf("behind %d (snapshot %d) came %d of kind %x", at, snapshot, n, f.Kind)
				}
				if at = n; kind == Snapshot {
					snapshot = n
				}
			}
			if n := fetches.Load(); n != slow+1 {
				t.Errorf("%d fetches", n)
			}
		})
	}
}

// What a request for a row takes is counted, wherever it stands, and given back.
func TestRequestsForRowsAreCounted(t *testing.T) {
	hang := make(chan struct{})
	h := start(t, func(o *Options) {
		o.Rows.Fetch = func(ctx context.Context, _ *Identity, _, _ string) ([]byte, bool, error) {
			select {
			case <-hang:
			case <-ctx.Done():
			}
			return []byte("x"), true, ctx.Err()
		}
	})
	c := listen(t, h, "alice", "")
	const rows, name = 100, 5000
	for i := range rows {
		c.Send(fmt.Sprintf(`{"type":"crdt-subscribe","entity":%q,"rowId":"%d"}`, strings.Repeat("E", name), i))
	}
	if err := c.settle(); err != nil {
		t.Fatal(err)
	}
	if n := buffered(h); n < rows*name {
		t.Errorf("%d bytes are counted", n)
	}
	if n := h.SubscriptionCount(); n > mostFetches {
		t.Errorf("%d subscriptions before anything is answered", n)
	}
	_ = c.CloseNow()
	eventually(t, "all is given back", func() bool { return buffered(h) < rows*name/10 })
	close(hang)
}

// A row that is stored is owed to however many clients by one frame.
func TestStoredRowsAreBufferedOnce(t *testing.T) {
	const clients, size = 20, 1 << 20
	h := start(t, func(o *Options) { o.Loops.SendBuffer, o.Loops.Slow.LagTime = 64<<10, patience })
	if err := h.PublishRow(Snapshot, "", "E", "0", make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	for range clients {
		subscribeMany(connect(t, h, "alice"), 1)
	}
	eventually(t, "all are behind", func() bool { return h.Stats().Lagging == clients })
	bufferedAtMost(t, h, size+64<<10)
}
