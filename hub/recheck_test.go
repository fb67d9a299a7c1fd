package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// rowService answers for rows as an operator's service would.
type rowService struct {
	mu     sync.Mutex
	denied map[string]bool // by row
	down   bool
	asked  map[string]int // how often, by row
	hang   chan struct{}  // unless nil, answers wait for its end
}

func (s *rowService) fetch(ctx context.Context, _ *Identity, _, rowID string) ([]byte, bool, error) {
	s.mu.Lock()
	denied, down, hang := s.denied[rowID], s.down, s.hang
	s.asked[rowID]++
	s.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
		}
	}
	if down {
		return nil, false, errors.New("down")
	}
	return []byte("snapshot"), !denied, nil
}

func (s *rowService) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// least is how often each of the first n rows has been asked about at least.
func (s *rowService) least(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	least := s.asked["0"]
	for i := range n {
		least = min(least, s.asked[fmt.Sprint(i)])
	}
	return least
}

func startRechecking(t *testing.T, change func(*Options)) (*Hub, *rowService) {
	s := &rowService{denied: make(map[string]bool), asked: make(map[string]int)}
	return start(t, func(o *Options) {
		o.Rows.Fetch, o.Rows.Recheck, o.Logger = s.fetch, 50*time.Millisecond, slog.New(slog.DiscardHandler)
		if change != nil {
			change(o)
		}
	}), s
}

// liveRows publishes an update of each of n rows, and says for which the client gets it.
func liveRows(t *testing.T, h *Hub, c *client, n int) (rows []string) {
	t.Helper()
	for i := range n {
		if err := h.PublishRow(Incremental, "", "E", fmt.Sprint(i), []byte("update")); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.BroadcastBinary([]byte("end")); err != nil {
		t.Fatal(err)
	}
	for {
		kind, b := c.Next()
		if kind == websocket.MessageBinary && string(b) == "end" {
			slices.Sort(rows)
			return rows
		}
		f, err := ParseRowFrame(b)
		if err != nil || f.Kind != Incremental {
			t.Fatalf("got %q, %v, want an update", b, err)
		}
		rows = append(rows, f.RowID)
	}
}

// docs/protocol.md section 2: a right that is taken away ends the subscription, and nothing else does.
func TestRecheck(t *testing.T) {
	const rows = 20
	h, s := startRechecking(t, nil)
	c := connect(t, h, "alice")
	c.Send(`{"type":"subscribe","topic":"t"}`)
	subscribeMany(c, rows)
	rowsOf(c, rows)

	s.set(func() { s.down = true })
	eventually(t, "rechecks fail", func() bool { return h.Stats().SnapshotErrors > rows })
	if got := liveRows(t, h, c, rows); !slices.Equal(got, numbers(rows)) {
		t.Errorf("while the service is down only %v are live", got)
	}
	s.set(func() { s.down, s.denied["3"], s.denied["7"] = false, true, true })
	eventually(t, "two subscriptions end", func() bool { return h.SubscriptionCount() == rows+1-2 })
	want := slices.DeleteFunc(numbers(rows), func(row string) bool { return row == "3" || row == "7" })
	if got := liveRows(t, h, c, rows); !slices.Equal(got, want) {
		t.Errorf("%v are live, want %v", got, want)
	}
	s.set(func() {
		for i := range rows {
			s.denied[fmt.Sprint(i)] = true
		}
	})
	eventually(t, "all end", func() bool { return h.SubscriptionCount() == 1 })
	if got := liveRows(t, h, c, rows); len(got) != 0 {
		t.Errorf("%v are live", got)
	}

	// It begins anew with the next subscription.
	s.set(func() { clear(s.denied) })
	subscribeMany(c, 1)
	rowsOf(c, 1)
	s.set(func() { s.denied["0"] = true })
	eventually(t, "it ends", func() bool { return h.SubscriptionCount() == 1 })
}

// Each row is asked about, however the client's subscriptions change meanwhile.
func TestRecheckWhileSubscriptionsChange(t *testing.T) {
	const rows, stay = 60, 20
	h, s := startRechecking(t, nil)
	c := connect(t, h, "alice")
	subscribeMany(c, rows)
	rowsOf(c, rows)
	for i := rows - 1; i >= stay; i -= 2 {
		c.Send(fmt.Sprintf(`{"type":"crdt-unsubscribe","entity":"E","rowId":"%d"}`, i))
	}
	before := s.least(stay)
	eventually(t, "each is asked about", func() bool { return s.least(stay) > before+1 })
}

// Rechecks that hang hold up no newcomer, and end with their client.
func TestRechecksThatHang(t *testing.T) {
	h, s := startRechecking(t, func(o *Options) { o.Workers, o.Rows.Timeout = 4, time.Hour })
	var old []*client
	for i := range 8 {
		c := connect(t, h, fmt.Sprint("old", i))
		subscribeMany(c, 4)
		rowsOf(c, 4)
		old = append(old, c)
	}
	hang := make(chan struct{})
	s.set(func() { s.hang = hang })
	eventually(t, "rechecks hang", func() bool { q := h.queues.rechecks.Stats(); return q.Running > 0 && q.Waiting > 0 })
	s.set(func() { s.hang = nil })
	newcomer := connect(t, h, "new")
	subscribeMany(newcomer, 4)
	rowsOf(newcomer, 4)
	for _, c := range append(old, newcomer) {
		_ = c.CloseNow()
	}
	eventually(t, "they have ended", func() bool { q := h.queues.rechecks.Stats(); return q.Running+q.Waiting == 0 })
	close(hang)
}

// A denial that was asked for before the client subscribed again says nothing about that.
func TestRecheckOvertaken(t *testing.T) {
	h, s := startRechecking(t, func(o *Options) { o.Rows.Timeout = time.Hour })
	c := connect(t, h, "alice")
	subscribeMany(c, 1)
	rowsOf(c, 1)
	hang := make(chan struct{})
	s.set(func() { s.hang, s.denied["0"] = hang, true })
	eventually(t, "a recheck hangs", func() bool { return h.queues.rechecks.Stats().Running == 1 })
	s.set(func() { s.hang, s.denied["0"] = nil, false })
	subscribeMany(c, 1)
	rowsOf(c, 1)
	close(hang)
	before := s.least(1)
	eventually(t, "it was handled, and asked anew", func() bool { return s.least(1) > before })
	if got := liveRows(t, h, c, 1); len(got) != 1 {
		t.Error("the subscription has ended")
	}
}

// docs/protocol.md section 5: ended at once, of all of the user's connections, answered or not.
func TestEndRowSubscriptions(t *testing.T) {
	h, s := startRechecking(t, func(o *Options) { o.Rows.Recheck, o.Rows.Timeout = 0, time.Hour })
	one, two, tenant, bob := connect(t, h, "alice"), connect(t, h, "alice"), connect(t, h, "alice@acme"), connect(t, h, "bob")
	for _, c := range []*client{one, tenant, bob} {
		subscribeMany(c, 2)
		rowsOf(c, 2)
	}
	hang := make(chan struct{})
	s.set(func() { s.hang = hang })
	subscribeMany(two, 1)
	eventually(t, "a fetch is under way", func() bool { return h.queues.fetches.Stats().Running == 1 })

	if err := h.EndRowSubscriptions(within(t), "acme", "E", "0", "alice"); err != nil {
		t.Fatal(err)
	}
	want := func(c *client, rows ...string) {
		t.Helper()
		if got := liveRows(t, h, c, 2); !slices.Equal(got, rows) {
			t.Errorf("%v are live, want %v", got, rows)
		}
	}
	want(tenant, "1")
	if err := h.EndRowSubscriptions(within(t), "", "E", "0", "alice"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the fetch is cancelled", func() bool { return h.queues.fetches.Stats().Running == 0 })
	if n := h.SubscriptionCount(); n != 1+1+2 {
		t.Errorf("%d subscriptions", n)
	}
	close(hang)
	s.set(func() { s.hang = nil })

	subscribeMany(two, 1)
	eventually(t, "who may, may again", func() bool { return h.SubscriptionCount() == 5 })
}

// What was asked for a client that is closing by the time of the answer does nothing.
func TestRowsAnsweredToAClosingClient(t *testing.T) {
	for name, interval := range map[string]time.Duration{"fetch": 0, "recheck": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			hang := make(chan struct{})
			var asked atomic.Int64
			h := start(t, func(o *Options) {
				o.Rows.Recheck, o.Rows.Timeout = interval, time.Hour
				o.Rows.Fetch = func(context.Context, *Identity, string, string) ([]byte, bool, error) {
					if asked.Add(1) == 2 || interval == 0 {
						<-hang
					}
					return []byte("x"), true, nil
				}
			})
			c := connect(t, h, "alice")
			subscribeMany(c, 1)
			running := func() int { return h.queues.fetches.Stats().Running + h.queues.rechecks.Stats().Running }
			eventually(t, "it hangs", func() bool { return running() == 1 && (asked.Load() == 2 || interval == 0) })
			infos, err := h.Clients(within(t), 0, 1)
			if err != nil {
				t.Fatal(err)
			}
			if found, err := h.Disconnect(within(t), infos[0].ID); !found || err != nil { // it doesn't read, so it is closing from here on
				t.Fatal(found, err)
			}
			close(hang)
			eventually(t, "it is answered", func() bool { return running() == 0 })
			if _, err := h.Clients(within(t), 0, 1); err != nil { // behind the answer
				t.Fatal(err)
			}
			if n := h.Stats().Panics; n != 0 {
				t.Errorf("%d panics", n)
			}
		})
	}
}
