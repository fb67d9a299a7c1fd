package natslog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/logtest"
	"github.com/busbar-ws/busbar/internal/natstest"
	"github.com/busbar-ws/busbar/internal/wstest"
)

func TestMain(m *testing.M) { natstest.Main(m) }

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), wstest.Patience)
	t.Cleanup(cancel)
	return ctx
}

func open(t testing.TB, o Options) *Log {
	t.Helper()
	l, err := Open(within(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// follower is what a node has had.
type follower struct {
	mu      sync.Mutex
	entries []hub.Entry
}

func follow(l *Log) *follower {
	var f follower
	l.Follow(f.take)
	return &f
}

func (f *follower) take(entries []hub.Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.entries = append(f.entries, entries...)
}

func (f *follower) had() []hub.Entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.entries)
}

func changeOf(row string) hub.Change {
	return hub.Change{Entity: "E", RowID: row, Kind: hub.Update, Data: []byte(`{ "a" : "<" }`), Timestamp: "1Z"}
}

func withOp(c hub.Change, op string) hub.Change {
	c.OpID = op
	return c
}

func mustAppend(t testing.TB, l *Log, changes ...hub.Change) []hub.Appended {
	t.Helper()
	done, err := l.Append(changes)
	if err != nil || len(done) != len(changes) {
		t.Fatalf("%d of %d: %v", len(done), len(changes), err)
	}
	return done
}

func seqsOf(entries []hub.Entry) (seqs []uint64) {
	for _, e := range entries {
		seqs = append(seqs, e.Seq)
	}
	return seqs
}

// One server is enough for what has nothing to do with faults.
func TestLog(t *testing.T) {
	t.Parallel()
	c := natstest.Start(t, 1, natstest.InMemory(t))
	t.Run("entries", func(t *testing.T) { testEntries(t, c) })
	t.Run("administered", func(t *testing.T) { testAdministered(t, c) })
	t.Run("set up otherwise", func(t *testing.T) { testSetUpOtherwise(t, c) })
	t.Run("narrowed", func(t *testing.T) { testNarrowed(t, c) })
	t.Run("copy", func(t *testing.T) { testCopy(t, c) })
	t.Run("copy states", func(t *testing.T) { testCopyStates(t, c) })
	t.Run("copy into less", func(t *testing.T) { testCopyIntoLess(t, c) })
	t.Run("copy beside rows", func(t *testing.T) { testCopyBesideRows(t, c) })
	t.Run("pages", func(t *testing.T) { testPages(t, c) })
	t.Run("cursors of nobody's", func(t *testing.T) { testCursorsAhead(t, c) })
	t.Run("page ahead of the follower", func(t *testing.T) { testPageAhead(t, c) })
	t.Run("op ids", func(t *testing.T) { testOpIDs(t, c) })
	t.Run("op ids and a bump", func(t *testing.T) { testOpIDsAndABump(t, c) })
	t.Run("retention", func(t *testing.T) { testRetention(t, c) })
	t.Run("restart", func(t *testing.T) { testRestart(t, c) })
	t.Run("foreign", func(t *testing.T) { testForeign(t, c) })
	t.Run("holes", func(t *testing.T) { testHoles(t, c) })
	t.Run("read of the leader", func(t *testing.T) { testReadOfLeader(t, c) })
	t.Run("hole in a batch", func(t *testing.T) { testHoleInABatch(t, c) })
	t.Run("let go while waiting", func(t *testing.T) { testLetGoWhileWaiting(t, c) })
	t.Run("hole at a new leader", func(t *testing.T) { testHoleAtANewLeader(t, c) })
	t.Run("purged", func(t *testing.T) { testPurged(t, c) })
	t.Run("newest deleted", func(t *testing.T) { testNewestDeleted(t, c) })
	t.Run("repeat behind a fresh one", func(t *testing.T) { testRepeatAmongFresh(t, c) })
	t.Run("too large", func(t *testing.T) { testTooLarge(t, c) })
	t.Run("suite", func(t *testing.T) { testSuite(t, c) })
	t.Run("copy and an outage", func(t *testing.T) { testCopyOutage(t, c) })
	t.Run("outage", func(t *testing.T) { testOutage(t, c) })
}

// The suite that all logs are held to, with a memory that is shorter than what it reads.
func testSuite(t *testing.T, c *natstest.Cluster) {
	streams := 0
	logtest.Run(t, logtest.Kind{Assigns: true, Ages: true, Open: func(t *testing.T, o logtest.Options) logtest.Opened {
		streams++
		name := fmt.Sprint("suite", streams)
		with := func(o logtest.Options) *Log {
			no := named(t, c, name)
			no.MaxAge = o.MaxAge
			if o.MaxEvents > 0 {
				no.MaxEvents = o.MaxEvents
			}
			return open(t, no)
		}
		l := with(o)
		return logtest.Opened{Log: l, Reopen: func(o logtest.Options) hub.ChangeLog {
			_ = l.Close()
			l = with(o)
			return l
		}}
	}})
}

func named(t testing.TB, c *natstest.Cluster, name string) Options {
	o := options(t, c, 0)
	o.Stream = name
	return o
}

// Two nodes get the same entries, and a publisher's return comes after its own node's delivery.
func testEntries(t *testing.T, c *natstest.Cluster) {
	before := uint64(time.Now().UnixMicro())
	a, b := open(t, named(t, c, "entries")), open(t, named(t, c, "entries"))
	if got := a.Bounds(); got.Last < before || got.Oldest != got.Last+1 || got.Before != got.Last || got.Trimmed {
		t.Errorf("a new log has %+v, at %d", got, before)
	}
	start := a.Bounds().Last
	fa, fb := follow(a), follow(b)
	to := changeOf("3")
	to.Audience = hub.Audience{Users: []string{"u", "v"}}
	done := mustAppend(t, a, changeOf("1"), changeOf("2"), to)
	if want := []hub.Appended{{Seq: start + 1}, {Seq: start + 2}, {Seq: start + 3}}; !slices.Equal(done, want) {
		t.Errorf("got %+v, want %+v", done, want)
	}
	if got := len(fa.had()); got != 3 {
		t.Errorf("the publisher's node has had %d", got)
	}
	mustAppend(t, b, changeOf("4"))
	for _, f := range []*follower{fa, fb} {
		wstest.Eventually(t, "all are delivered", func() bool { return len(f.had()) == 4 })
		for i, e := range f.had() {
			seq := start + uint64(i) + 1
			json := fmt.Sprintf(`{"seq":%d,"entity":"E","row_id":"%d","kind":"update","data":{ "a" : "<" },"timestamp":"1Z"}`, seq, i+1)
			if e.Seq != seq || e.Prev != seq-1 || string(e.JSON) != json || (i == 2) != slices.Equal(e.Audience.Users, []string{"u", "v"}) {
				t.Errorf("entry %d: %d behind %d, %s, %+v", i, e.Seq, e.Prev, e.JSON, e.Audience)
			}
		}
	}
}

// What is more than a batch and more than is in memory comes whole, at every node.
func testPages(t *testing.T, c *natstest.Cluster) {
	a, b := open(t, named(t, c, "pages")), open(t, named(t, c, "pages"))
	start := a.Bounds().Last
	follow(a)
	fb := follow(b)
	large := make([]hub.Change, 2500)
	for i := range large {
		large[i] = changeOf("n")
	}
	done := mustAppend(t, a, large...)
	if done[0].Seq != start+1 || done[2499].Seq != start+2500 {
		t.Errorf("got %+v to %+v", done[0], done[2499])
	}
	wstest.Eventually(t, "all are delivered", func() bool { return len(fb.had()) == 2500 })
	for _, l := range []*Log{a, b} {
		var got []uint64
		for since := start; len(got) < 2500; since = got[len(got)-1] {
			page, err := l.Range(within(t), since, 1000)
			if err != nil || len(page.Entries) == 0 {
				t.Fatalf("since %d: %d entries, %v", since, len(page.Entries), err)
			}
			if page.Entries[0].Prev != since {
				t.Errorf("%d is behind %d, not %d", page.Entries[0].Seq, page.Entries[0].Prev, since)
			}
			got = append(got, seqsOf(page.Entries)...)
		}
		for i, seq := range got {
			if seq != start+uint64(i)+1 {
				t.Fatalf("entry %d is %d", i, seq)
			}
		}
		for _, since := range []uint64{1, start - 1, start + 2501} {
			if _, err := l.Range(within(t), since, 10); !errors.As(err, new(*hub.ResyncError)) {
				t.Errorf("since %d: %v", since, err)
			}
		}
		if page, err := l.Range(within(t), 0, 1); err != nil || len(page.Entries) != 1 || page.Entries[0].Seq != start+1 {
			t.Errorf("since 0: %+v, %v", page, err)
		}
	}
}

// A page that is read from the stream has nothing that its node is yet to deliver: clients would get that twice.
func testPageAhead(t *testing.T, c *natstest.Cluster) {
	o := named(t, c, "ahead")
	a := open(t, o)
	follow(a)
	start := a.Bounds().Last
	mustAppend(t, a, changeOf("1"), changeOf("2"))
	o.TailBytes = 1 // so that all is read from the stream
	b := open(t, o) // and takes nothing yet
	mustAppend(t, a, changeOf("3"), changeOf("4"))
	page, err := b.Range(within(t), start, 100)
	if got := seqsOf(page.Entries); err != nil || page.Last != start+2 || !slices.Equal(got, []uint64{start + 1, start + 2}) {
		t.Errorf("got %v behind %d, up to %d, %v", got, start, page.Last, err)
	}
}

func testRetention(t *testing.T, c *natstest.Cluster) {
	o := named(t, c, "retention")
	o.MaxEvents, o.TailBytes = 50, 2500
	l := open(t, o)
	follow(l)
	start := l.Bounds().Last
	for range 8 {
		mustAppend(t, l, slices.Repeat([]hub.Change{changeOf("r")}, 10)...)
	}
	wstest.Eventually(t, "the bounds are known", func() bool {
		return l.Bounds() == hub.Bounds{Oldest: start + 31, Last: start + 80, Before: start + 30, Trimmed: true}
	})
	page, err := l.Range(within(t), start+30, 100)
	if err != nil || len(page.Entries) == 0 || page.Entries[0].Seq != start+31 {
		t.Errorf("%+v, %v", page.Bounds, err)
	}
	// The bounds that are known may be old.
	l.known.Store(&jetstream.StreamState{FirstSeq: start + 1, LastSeq: start + 80})
	if _, err := l.Range(within(t), start+20, 100); !errors.As(err, new(*hub.ResyncError)) {
		t.Errorf("a cursor that is too old: %v", err)
	}
	if page, err := l.Range(within(t), 0, 100); err != nil || len(page.Entries) == 0 || page.Entries[0].Seq != start+31 {
		t.Errorf("since 0: %v, %v", seqsOf(page.Entries), err)
	}
}

// A node that comes back has what was published meanwhile behind its bounds, and delivers what comes then.
func testRestart(t *testing.T, c *natstest.Cluster) {
	o := named(t, c, "restart")
	a := open(t, o)
	follow(a)
	start := a.Bounds().Last
	mustAppend(t, a, slices.Repeat([]hub.Change{changeOf("r")}, 300)...)
	b := open(t, o)
	if got := b.Bounds(); got.Last != start+300 || got.Before != start {
		t.Errorf("got %+v", got)
	}
	mustAppend(t, a, changeOf("between"))
	f := follow(b)
	mustAppend(t, b, changeOf("after"))
	if got := seqsOf(f.had()); !slices.Equal(got, []uint64{start + 301, start + 302}) {
		t.Errorf("delivered %v", got)
	}
	o.MaxEvents = 100
	d := open(t, o)
	if got := d.Bounds(); got.Oldest != start+203 || got.Last != start+302 || !got.Trimmed {
		t.Errorf("with a lower limit: %+v", got)
	}
}

// Seqs that there aren't are anybody's to ask for. The stream's servers are asked for many of them at once.
func testCursorsAhead(t *testing.T, c *natstest.Cluster) {
	l := open(t, named(t, c, "nobody"))
	last := mustAppend(t, l, changeOf("1"))[0].Seq
	asked, err := l.conn.SubscribeSync("$JS.API.STREAM.MSG.DELETE." + l.opts.Stream)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var asking sync.WaitGroup
	for i := range uint64(300) {
		asking.Go(func() {
			if _, err := l.Range(within(t), last+1+i, 10); !errors.As(err, new(*hub.ResyncError)) {
				t.Errorf("seq %d: %v", last+1+i, err)
			}
		})
	}
	asking.Wait()
	if err := l.conn.Flush(); err != nil {
		t.Fatal(err)
	}
	most := 2 + int(time.Since(began)/questionsEvery)
	if n, _, err := asked.Pending(); n < 1 || n > most || err != nil {
		t.Errorf("asked %d times, at most %d are expected: %v", n, most, err)
	}
}

func testForeign(t *testing.T, c *natstest.Cluster) {
	l := open(t, named(t, c, "own"))
	_, err := l.js.CreateStream(within(t), jetstream.StreamConfig{Name: "foreign", Subjects: []string{"orders.>"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"foreign": "isn't a change log", "a.b": "can't be the name", "": "can't be the name"} {
		if l, err := Open(within(t), named(t, c, name)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("stream %q: %v", name, err)
			_ = l.Close()
		}
	}
	o := named(t, c, "young")
	o.MaxAge = 50 * time.Millisecond
	if _, err := Open(within(t), o); err == nil || !strings.Contains(err.Error(), "max age") {
		t.Errorf("an age that NATS doesn't take: %v", err)
	}
	o = named(t, c, "replicated")
	o.Replicas = 3
	if _, err := Open(within(t), o); err == nil || !strings.Contains(err.Error(), "replicas") {
		t.Errorf("three replicas on one server: %v", err)
	}
}

func testTooLarge(t *testing.T, c *natstest.Cluster) {
	l := open(t, named(t, c, "large"))
	follow(l)
	big := changeOf("big")
	big.Data = []byte(`"` + strings.Repeat("x", 1<<20) + `"`)
	if done, err := l.Append([]hub.Change{changeOf("1"), big}); !errors.Is(err, hub.ErrTooLarge) || len(done) != 0 {
		t.Errorf("got %+v, %v", done, err)
	}
	big.Data = big.Data[:1+1<<19]
	big.Data[len(big.Data)-1] = '"'
	mustAppend(t, l, slices.Repeat([]hub.Change{big}, 10)...) // more than a batch's bytes
}

// While NATS is away the log says so; an Append that began then is stored once NATS is back, once.
func testOutage(t *testing.T, c *natstest.Cluster) {
	l := open(t, named(t, c, "outage"))
	f := follow(l)
	mustAppend(t, l, changeOf("before"))
	if err := l.Healthy(); err != nil {
		t.Error(err)
	}
	c.Nodes[0].Kill()
	wstest.Eventually(t, "the log says that it isn't well", func() bool { return l.Healthy() != nil })
	patience := l.opts.PublishTimeout
	l.opts.PublishTimeout = 10 * time.Millisecond
	if done, err := l.Append([]hub.Change{changeOf("never")}); !errors.Is(err, hub.ErrLogUnavailable) || len(done) != 0 {
		t.Errorf("got %+v, %v", done, err)
	}
	l.opts.PublishTimeout = patience
	if page, err := l.Range(within(t), l.Bounds().Before, 10); err != nil || len(page.Entries) != 1 {
		t.Errorf("what is in memory: %d entries, %v", len(page.Entries), err)
	}
	if _, err := l.Range(within(t), l.Bounds().Last+1, 10); !errors.Is(err, hub.ErrLogUnavailable) {
		t.Errorf("a cursor that another node may have given: %v", err)
	}
	stored := make(chan error, 1)
	go func() {
		_, err := l.Append([]hub.Change{withOp(changeOf("during"), "once")})
		stored <- err
	}()
	c.Nodes[0].Start()
	if err := <-stored; err != nil {
		t.Error(err)
	}
	if done := mustAppend(t, l, withOp(changeOf("during"), "once")); !done[0].Repeated {
		t.Errorf("got %+v", done)
	}
	wstest.Eventually(t, "the log is well again", func() bool { return l.Healthy() == nil })
	if got := len(f.had()); got != 2 {
		t.Errorf("delivered %d", got)
	}
}

func options(t testing.TB, c *natstest.Cluster, first int) Options {
	replicas := 1
	if len(c.Nodes) > 1 {
		replicas = 3
	}
	return Options{
		Servers: c.Servers(first), Stream: "test", Replicas: replicas, MaxEvents: 1 << 20, MaxBytes: 1 << 30,
		TailBytes: 25_000, PublishTimeout: wstest.Patience,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}
