package natsrows

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/natsconn"
	"github.com/busbar-ws/busbar/internal/natstest"
	"github.com/busbar-ws/busbar/internal/wstest"
)

func TestMain(m *testing.M) { natstest.Main(m) }

// node is a store and what its follower was told.
type node struct {
	*Rows

	mu   sync.Mutex
	not  map[string]bool // row ids that nobody wants
	had  map[string][]*hub.StoredRow
	last map[string]uint64
	has  map[string]string // the snapshots that a hub would give to newcomers
	log  wstest.Text
}

func optionsOf(t testing.TB, c *natstest.Cluster, name string) Options {
	replicas := 1
	if len(c.Nodes) > 1 {
		replicas = 3
	}
	return Options{
		Servers: c.Servers(0), Name: name, Replicas: replicas, MaxBytes: 1 << 30, PublishTimeout: 20 * time.Second,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

func open(t testing.TB, c *natstest.Cluster, first int, name string) *node {
	t.Helper()
	o := optionsOf(t, c, name)
	o.Servers = c.Servers(first)
	return openWith(t, o)
}

func openWith(t testing.TB, o Options) *node {
	t.Helper()
	n := openQuietly(t, o)
	n.Follow(n.deliver, n.wanted, n.forget)
	return n
}

// openQuietly opens a node that takes what it reads, and nothing by itself.
func openQuietly(t testing.TB, o Options) *node {
	t.Helper()
	n := &node{
		not: make(map[string]bool), had: make(map[string][]*hub.StoredRow), last: make(map[string]uint64), has: make(map[string]string),
	}
	o.Logger = slog.New(slog.NewTextHandler(io.MultiWriter(t.Output(), &n.log), nil))
	var err error
	n.Rows, err = Open(within(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	n.Rows.deliver = func(r *hub.StoredRow) {
		n.mu.Lock()
		defer n.mu.Unlock()
		if r.Seq <= n.last[r.RowID] {
			t.Errorf("row %q: %d was delivered behind %d", r.RowID, r.Seq, n.last[r.RowID])
		}
		n.last[r.RowID] = r.Seq
		n.had[r.RowID] = append(n.had[r.RowID], r)
		if r.Kind == hub.Snapshot {
			n.has[r.RowID] = string(r.Payload)
		}
	}
	n.Rows.wanted = func(_, rowID string) bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return !n.not[rowID]
	}
	n.Rows.forget = func(_, rowID string) {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.has, rowID)
	}
	return n
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), wstest.Patience)
	t.Cleanup(cancel)
	return ctx
}

// payloads are what the follower was told of a row.
func (n *node) payloads(row string) (had []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range n.had[row] {
		had = append(had, fmt.Sprintf("%x %.20s", r.Kind, r.Payload))
	}
	return had
}

// watch tries again where NATS takes too long to answer, as a hub does.
func (n *node) watch(t testing.TB, row string, have uint64) (r *hub.StoredRow) {
	t.Helper()
	var err error
	wstest.Eventually(t, "a row is watched", func() bool {
		r, err = n.Watch(within(t), "E", row, have)
		return !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nats.ErrReconnectBufExceeded) // there is no connection
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (n *node) put(t testing.TB, kind hub.RowKind, row, payload string) {
	t.Helper()
	if err := n.Put(&hub.StoredRow{Kind: kind, Entity: "E", RowID: row, Payload: []byte(payload)}); err != nil {
		t.Fatal(err)
	}
}

func equal(t testing.TB, what string, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func TestRows(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, 1, natstest.InMemory(t))
	t.Run("order", func(t *testing.T) { testOrder(t, c) })
	t.Run("names", func(t *testing.T) { testNames(t, c) })
	t.Run("large", func(t *testing.T) { testLarge(t, c) })
	t.Run("holes", func(t *testing.T) { testHoles(t, c) })
	t.Run("first", func(t *testing.T) { testFirst(t, c) })
	t.Run("former leader", func(t *testing.T) { testFormerLeader(t, c) })
	t.Run("release", func(t *testing.T) { testRelease(t, c) })
	t.Run("room", func(t *testing.T) { testRoom(t, c) })
	t.Run("set up otherwise", func(t *testing.T) { testSetUpOtherwise(t, c) })
	t.Run("foreign", func(t *testing.T) { testForeign(t, c) })
	t.Run("copy", func(t *testing.T) { testCopy(t, c) })
	t.Run("copy states", func(t *testing.T) { testCopyStates(t, c) })
	t.Run("copy without room", func(t *testing.T) { testCopyWithoutRoom(t, c) })
	t.Run("concurrent", func(t *testing.T) { testConcurrent(t, c) })
}

// Another node's follower gets the snapshot, and then all that is put; what it has is not read again.
func testOrder(t *testing.T, c *natstest.Cluster) {
	a, b := open(t, c, 0, "order"), open(t, c, 0, "order")
	if r := b.watch(t, "r", 0); r != nil {
		t.Errorf("a row that isn't there is %+v", r)
	}
	a.put(t, hub.Snapshot, "r", "1")
	a.put(t, hub.Incremental, "r", "1a")
	a.put(t, hub.Snapshot, "r", "2")
	wstest.Eventually(t, "b has all", func() bool { return len(b.payloads("r")) == 3 })
	equal(t, "b", b.payloads("r"), "10 1", "11 1a", "10 2")
	equal(t, "a, where nobody wants it", a.payloads("r"))
	first := a.watch(t, "r", 0)
	if first == nil || string(first.Payload) != "2" {
		t.Fatalf("got %+v", first)
	}
	if r := a.watch(t, "r", first.Seq); r != nil {
		t.Errorf("it was there already: %+v", r)
	}
	a.put(t, hub.Incremental, "r", "2a")
	equal(t, "a has its own when they are stored", a.payloads("r"), "10 2", "11 2a")
	if r := a.watch(t, "r", 0); r == nil || r.Seq != first.Seq || string(r.Payload) != "2" {
		t.Errorf("the snapshot, of somebody who hasn't got it, is %+v", r)
	}
	if err := a.Put(&hub.StoredRow{Kind: hub.Snapshot, Tenant: "acme", Entity: "E", RowID: "r"}); err != nil {
		t.Fatal(err)
	}
	a.put(t, hub.Incremental, "r", "x")
	last := a.had["r"][len(a.had["r"])-1]
	if last.Owner != "acme" {
		t.Errorf("an update of a tenant's row says %+v", last)
	}
}

// Names may be anything, and rows with the same beginning are not the same.
func testNames(t *testing.T, c *natstest.Cluster) {
	a, b := open(t, c, 0, "names"), open(t, c, 0, "names")
	names := [][2]string{
		{"a", "bc"}, {"ab", "c"}, {"a.b", "*"}, {"a", ">"}, {" ", "\t\r\n"}, {"\x00", "ü\"'"}, {"$JS.API", "x y"},
		{strings.Repeat("l", 65_535), strings.Repeat("m", 65_535)},
	}
	for i, n := range names {
		if err := a.Put(&hub.StoredRow{Kind: hub.Snapshot, Tenant: n[1], Entity: n[0], RowID: n[1], Payload: []byte{byte(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	for i, n := range names {
		r, err := b.Watch(within(t), n[0], n[1], 0)
		if err != nil || r == nil || r.Entity != n[0] || r.RowID != n[1] || r.Tenant != n[1] || !bytes.Equal(r.Payload, []byte{byte(i)}) {
			t.Errorf("row %d is %+v, %v", i, r, err)
		}
	}
}

// A row of 16 MiB is many messages, which are stored together, and takes no room when it is gone.
func testLarge(t *testing.T, c *natstest.Cluster) {
	a, b := open(t, c, 0, "large"), open(t, c, 0, "large")
	b.watch(t, "r", 0)
	for i, size := range []int{16 << 20, 300_000, 0} {
		payload := bytes.Repeat([]byte{byte(i)}, size)
		kind := []hub.RowKind{hub.Snapshot, hub.Incremental, hub.Snapshot}[i]
		if err := a.Put(&hub.StoredRow{Kind: kind, Entity: "E", RowID: "r", Payload: payload}); err != nil {
			t.Fatal(err)
		}
		wstest.Eventually(t, "b has it", func() bool { return len(b.payloads("r")) == i+1 })
		if got := b.had["r"][i]; got.Kind != kind || !bytes.Equal(got.Payload, payload) {
			t.Errorf("%d differs", i)
		}
		if i == 0 {
			if r := a.watch(t, "r", 0); r == nil || !bytes.Equal(r.Payload, payload) {
				t.Error("what is read differs")
			}
		}
	}
	info, err := a.stream.Info(t.Context())
	if err != nil || info.State.Msgs != 1 {
		t.Errorf("an empty row takes %d messages: %v", info.State.Msgs, err)
	}
}

// What the feed missed is read before what comes behind it, and found out when nothing does.
func testHoles(t *testing.T, c *natstest.Cluster) {
	a, b := open(t, c, 0, "holes"), open(t, c, 0, "holes")
	b.watch(t, "r", 0)
	a.put(t, hub.Snapshot, "r", "1")
	wstest.Eventually(t, "b has it", func() bool { return len(b.payloads("r")) == 1 })
	_, number := b.address("E", "r")
	b.Rows.mu.Lock()
	_ = b.buckets[number].subscription.Unsubscribe()
	b.Rows.mu.Unlock()
	a.put(t, hub.Incremental, "r", "1a")
	a.put(t, hub.Snapshot, "r", "2")
	a.put(t, hub.Incremental, "r", "2a")
	b.Rows.mu.Lock()
	b.buckets[number].subscription, _ = b.conn.ChanSubscribe("holes.row."+fmt.Sprint(number), b.feed)
	b.Rows.mu.Unlock()
	if err := b.conn.Flush(); err != nil {
		t.Fatal(err)
	}
	a.put(t, hub.Incremental, "r", "2b")
	wstest.Eventually(t, "b has all but what a snapshot stands for", func() bool { return len(b.payloads("r")) == 4 })
	equal(t, "b", b.payloads("r"), "10 1", "10 2", "11 2a", "11 2b")
	b.Rows.mu.Lock()
	_ = b.buckets[number].subscription.Unsubscribe()
	b.Rows.mu.Unlock()
	a.put(t, hub.Snapshot, "r", "3")
	b.suspect()
	wstest.Eventually(t, "b has it", func() bool { return len(b.payloads("r")) == 5 })
}

// What a leader says has nothing in front of it isn't taken for a row's beginning, before the row was read
// or after.
func testFirst(t *testing.T, c *natstest.Cluster) {
	one, other := open(t, c, 0, "first"), open(t, c, 0, "first")
	one.put(t, hub.Snapshot, "r", "snapshot")
	one.put(t, hub.Incremental, "r", "update")
	r, err := other.Rows.watch(within(t), "E", "r")
	if err != nil {
		t.Fatal(err)
	}
	m := nats.NewMsg("")
	m.Header.Set(jetstream.SubjectHeader, r.subject)
	m.Header.Set(jetstream.SequenceHeader, "2")
	m.Header.Set(natsconn.LastSequence, "0")
	m.Header.Set(partHeader, "17 1 1")
	m.Data = encode(&hub.StoredRow{Entity: "E", RowID: "r", Payload: []byte("update")})
	other.takeRepublished(m)
	if got := other.watch(t, "r", 0); got == nil || string(got.Payload) != "snapshot" {
		t.Errorf("got %+v", got)
	}
	equal(t, "delivered", other.payloads("r"), "10 snapshot", "11 update")
	other.Rows.mu.Lock()
	last := r.last
	other.Rows.mu.Unlock()
	m.Header.Set(jetstream.SequenceHeader, strconv.FormatUint(last+2, 10))
	other.takeRepublished(m)
	one.put(t, hub.Incremental, "r", "next")
	wstest.Eventually(t, "the next update comes", func() bool { return len(other.payloads("r")) > 2 })
	equal(t, "delivered", other.payloads("r"), "10 snapshot", "11 update", "11 next")
}

// A server that is the leader no more, and doesn't know it yet, has snapshots that are older than what was delivered.
func testFormerLeader(t *testing.T, c *natstest.Cluster) {
	one, other := open(t, c, 0, "former"), openQuietly(t, optionsOf(t, c, "former"))
	one.put(t, hub.Snapshot, "r", "1")
	first := other.watch(t, "r", 0)
	m := nats.NewMsg("")
	subject, _ := other.address("E", "r")
	m.Header.Set(jetstream.SubjectHeader, subject)
	m.Header.Set(jetstream.SequenceHeader, strconv.FormatUint(first.Seq+1, 10))
	m.Header.Set(natsconn.LastSequence, strconv.FormatUint(first.Seq, 10))
	m.Header.Set(partHeader, "16 1 1")
	m.Data = encode(&hub.StoredRow{Entity: "E", RowID: "r", Payload: []byte("2")})
	other.takeRepublished(m)
	equal(t, "delivered", other.payloads("r"), "10 1", "10 2")
	ctx, cancel := context.WithTimeout(t.Context(), 4*feedPatience)
	defer cancel()
	if got, err := other.Watch(ctx, "E", "r", 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %+v, %v", got, err)
	}
	one.put(t, hub.Snapshot, "r", "2")
	if got := other.watch(t, "r", 0); got == nil || string(got.Payload) != "2" {
		t.Errorf("got %+v", got)
	}
}

// A bucket is held while somebody wants a row in it.
func testRelease(t *testing.T, c *natstest.Cluster) {
	n := open(t, c, 0, "release")
	n.watch(t, "1", 0)
	n.watch(t, "2", 0)
	n.release()
	if len(n.rows) != 2 || len(n.buckets) != 2 || n.conn.NumSubscriptions() < 2 {
		t.Errorf("%d rows in %d buckets", len(n.rows), len(n.buckets))
	}
	n.has["1"], n.not["1"], n.not["2"] = "a hub's copy", true, true
	before := n.conn.NumSubscriptions()
	n.release()
	if len(n.has) != 0 || len(n.rows) != 0 || len(n.buckets) != 0 || n.conn.NumSubscriptions() != before-2 {
		t.Errorf("%d rows in %d buckets are left", len(n.rows), len(n.buckets))
	}
	n.not["1"] = false
	n.watch(t, "1", 0)
	n.put(t, hub.Snapshot, "1", "x")
	equal(t, "watched again", n.payloads("1"), "10 x")
}

// The rows that were written longest ago make room, the beginning of a large one's messages too.
func testRoom(t *testing.T, c *natstest.Cluster) {
	n := open(t, c, 0, "room")
	config := n.stream.CachedInfo().Config
	config.MaxBytes = 3 << 20
	if _, err := n.js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	half := strings.Repeat("x", 1<<20)
	for _, row := range []string{"1", "2", "3"} {
		n.put(t, hub.Snapshot, row, half)
	}
	if r := n.watch(t, "1", 0); r != nil {
		t.Errorf("a row without its beginning is %d bytes", len(r.Payload))
	}
	if r := n.watch(t, "3", 0); r == nil || len(r.Payload) != len(half) {
		t.Error("the newest isn't there")
	}
}

// While somebody has set the stream up so that nodes aren't told of rows, they say so.
func testSetUpOtherwise(t *testing.T, c *natstest.Cluster) {
	n := open(t, c, 0, "otherwise")
	set := func(config jetstream.StreamConfig) {
		t.Helper()
		if _, err := n.js.UpdateStream(within(t), config); err != nil {
			t.Fatal(err)
		}
	}
	wanted := n.stream.CachedInfo().Config
	config := wanted
	config.RePublish = nil
	set(config)
	wstest.Eventually(t, "it is noticed", func() bool { return errors.Is(n.Healthy(), natsconn.ErrUnfit) })
	set(wanted)
	wstest.Eventually(t, "it is put right", func() bool { return n.Healthy() == nil })
}

func testForeign(t *testing.T, c *natstest.Cluster) {
	n := open(t, c, 0, "own")
	if _, err := n.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "foreign-rows", Subjects: []string{"orders.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Servers: c.Servers(0), Name: "foreign", Replicas: 1, Logger: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "isn't a store of rows") {
		t.Errorf("got %v", err)
	}
}

// Writers on both nodes and followers on both: each has all of it in one order.
func testConcurrent(t *testing.T, c *natstest.Cluster) {
	nodes := []*node{open(t, c, 0, "concurrent"), open(t, c, 0, "concurrent")}
	const rows, writers, each = 20, 8, 50
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				kind := hub.Snapshot
				if i%3 == 1 {
					kind = hub.Incremental
				}
				nodes[w%2].put(t, kind, fmt.Sprint((w*7+i)%rows), fmt.Sprintf("%d/%d", w, i))
			}
		})
	}
	for _, n := range nodes {
		all.Go(func() {
			for r := range rows {
				n.watch(t, fmt.Sprint(r), 0)
			}
		})
	}
	all.Wait()
	checkSame(t, nodes, rows)
}

// checkSame waits until each node has what the stream has of each row.
func checkSame(t *testing.T, nodes []*node, rows int) {
	t.Helper()
	for r := range rows {
		row := fmt.Sprint(r)
		for _, n := range nodes {
			subject, _ := n.address("E", row)
			m, err := n.stream.GetLastMsgForSubject(t.Context(), subject)
			if err != nil {
				t.Fatal(err)
			}
			wstest.Eventually(t, "the newest is delivered", func() bool {
				n.mu.Lock()
				defer n.mu.Unlock()
				return n.last[row] >= m.Sequence // which may be a replica's that is behind
			})
		}
	}
}
