package natslog

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/hub/disklog"
	"github.com/busbar-ws/busbar/internal/logtest"
	"github.com/busbar-ws/busbar/internal/natsconn"
	"github.com/busbar-ws/busbar/internal/natstest"
	"github.com/busbar-ws/busbar/internal/wstest"
)

func onDisk(t *testing.T, path string, maxEvents int) *disklog.Log {
	t.Helper()
	l, err := disklog.Open(path, disklog.Options{MaxEvents: maxEvents, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// contents are all that clients can have of a log.
type contents struct {
	bounds  hub.Bounds
	entries []string
}

func contentsOf(t *testing.T, l hub.ChangeLog) (c contents) {
	t.Helper()
	c.bounds = l.Bounds()
	for _, e := range logtest.All(t, l, 0, 1000) {
		c.entries = append(c.entries, fmt.Sprint(e.Seq, e.Prev, string(e.JSON), e.Entity, e.Audience))
	}
	return c
}

func (c contents) wantSame(t *testing.T, got contents) {
	t.Helper()
	if got.bounds != c.bounds || !slices.Equal(got.entries, c.entries) {
		t.Errorf("%d entries, %+v; want %d, %+v", len(got.entries), got.bounds, len(c.entries), c.bounds)
		for i := range min(len(got.entries), len(c.entries)) {
			if got.entries[i] != c.entries[i] {
				t.Fatalf("%s, want %s", got.entries[i], c.entries[i])
			}
		}
	}
}

func toNATS(t *testing.T, path string, o Options) error {
	t.Helper()
	source := onDisk(t, path, 1<<20)
	defer source.Close()
	return Import(within(t), o, source.Bounds(), source.Export, func() error { return nil })
}

func toDisk(t *testing.T, o Options, path string) {
	t.Helper()
	e, err := OpenExport(within(t), o)
	if err != nil {
		t.Fatal(err)
	}
	err = disklog.Import(path, e.Bounds, func(f func(*hub.Change, time.Time) error) error { return e.Each(within(t), f) },
		func(func(*hub.StoredRow) error) error { return nil })
	if err := errors.Join(err, e.Close(within(t), err == nil)); err != nil {
		t.Fatal(err)
	}
}

// From disk to NATS and back: the same pages, bounds, audiences and op ids, over trimming, batches and holes.
func testCopy(t *testing.T, c *natstest.Cluster) {
	for name, kept := range map[string]int{"whole": 1 << 20, "trimmed": 1200, "empty": 0} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "changes.db")
			disk := onDisk(t, path, max(kept, 1))
			var changes []hub.Change
			for i := range 2400 * min(kept, 1) {
				change := withOp(changeOf(fmt.Sprint(i)), fmt.Sprintf("an op/%d ü", i))
				if i%2 == 0 {
					change.OpID, change.Kind = "", hub.Delete
				}
				change.Audience = []hub.Audience{{}, {Users: []string{"u", "v"}}, {Tenant: "t"}, {Topic: "x"}}[i%4]
				changes = append(changes, change)
			}
			disk.Append(changes)
			wstest.Eventually(t, "it is trimmed", func() bool {
				return contentsOf(t, disk).bounds.Trimmed == (kept == 1200) && len(contentsOf(t, disk).entries) <= kept
			})
			want := contentsOf(t, disk)
			disk.Close()

			o := named(t, c, "copy-"+name)
			if err := toNATS(t, path, o); err != nil {
				t.Fatal(err)
			}
			stream := open(t, o)
			want.wantSame(t, contentsOf(t, stream))
			op := withOp(changeOf("again"), "an op/2399 ü")
			if kept == 0 {
				op.OpID = ""
			}
			results := mustAppend(t, stream, op, withOp(changeOf("a"), "fresh"), changeOf("b"), changeOf("c"))
			repeated := hub.Appended{Seq: want.bounds.Last, Repeated: true}
			if kept > 0 && results[0] != repeated || results[2].Seq != results[1].Seq+1 {
				t.Errorf("got %+v behind %+v", results, want.bounds)
			}
			if err := stream.stream.DeleteMsg(within(t), results[2].Seq); err != nil {
				t.Fatal(err)
			}
			_ = stream.Close()
			want = contentsOf(t, open(t, o))

			back := filepath.Join(t.TempDir(), "changes.db")
			toDisk(t, o, back)
			disk = onDisk(t, back, 1<<20)
			want.wantSame(t, contentsOf(t, disk))
			again := logtest.Append(t, disk, withOp(changeOf("a"), "fresh"), op, changeOf("d"))
			if fresh := (hub.Appended{Seq: results[1].Seq, Repeated: true}); again[0] != fresh || kept > 0 && again[1] != repeated {
				t.Errorf("got %+v behind %+v, and before %+v", again, want.bounds, results)
			}
			want = contentsOf(t, disk)
			disk.Close()
			// It has a hole now, and takes the place of what was moved.
			if err := toNATS(t, back, o); err != nil {
				t.Fatal(err)
			}
			want.wantSame(t, contentsOf(t, open(t, o)))
		})
	}
}

// NATS may be away for a moment at every step of a copy to the disk.
func testCopyOutage(t *testing.T, c *natstest.Cluster) {
	o := named(t, c, "copy-outage")
	var want []uint64
	for _, d := range mustAppend(t, open(t, o), slices.Repeat([]hub.Change{changeOf("r")}, 2*readMessages)...) {
		want = append(want, d.Seq)
	}
	restart := func() {
		c.Nodes[0].Kill()
		c.Nodes[0].Start()
	}
	e, err := OpenExport(within(t), o)
	if err != nil {
		t.Fatal(err)
	}
	var got []uint64
	err = e.Each(within(t), func(change *hub.Change, _ time.Time) error {
		if len(got) == 0 {
			restart()
		}
		got = append(got, change.Seq)
		return nil
	})
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%d events of %d: %v", len(got), len(want), err)
	}
	restart()
	if err := e.Close(within(t), false); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, open(t, o), changeOf("r"))
}

// What is half-done, or elsewhere, isn't opened, and what is there isn't overwritten.
func testCopyStates(t *testing.T, c *natstest.Cluster) {
	o := named(t, c, "states")
	path := filepath.Join(t.TempDir(), "changes.db")
	disk := onDisk(t, path, 10)
	logtest.Append(t, disk, changeOf("1"), changeOf("2"))
	want := contentsOf(t, disk)
	disk.Close()
	broken := errors.New("broken off")
	err := Import(within(t), o, want.bounds, func(f func(*hub.Change, time.Time) error) error {
		change := changeOf("1")
		change.Seq = want.bounds.Oldest
		return f(&change, time.Time{})
	}, func() error { return broken })
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	refused := func(why error) {
		t.Helper()
		l, err := dial(within(t), o)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if err := l.openStream(within(t)); !errors.Is(err, why) {
			t.Errorf("opening: %v, want %v", err, why)
		}
	}
	refused(errBeingFilled)
	if _, err := OpenExport(within(t), o); !errors.Is(err, errBeingFilled) {
		t.Error(err)
	}
	if err := toNATS(t, path, o); err != nil {
		t.Fatal(err)
	}
	if err := toNATS(t, path, o); !errors.Is(err, errThere) {
		t.Errorf("over a log that is used: %v", err)
	}

	o.PublishTimeout = 100 * time.Millisecond
	node := open(t, o)
	want.wantSame(t, contentsOf(t, node))
	e, err := OpenExport(within(t), o)
	if err != nil {
		t.Fatal(err)
	}
	if done, err := node.Append([]hub.Change{changeOf("3")}); len(done) > 0 || !errors.Is(err, hub.ErrLogUnavailable) {
		t.Errorf("publishing to what is copied: %+v, %v", done, err)
	}
	refused(errMoved)
	if err := e.Close(within(t), false); err != nil {
		t.Fatal(err)
	}
	if done := logtest.Append(t, node, changeOf("4")); done[0].Seq <= want.bounds.Last {
		t.Errorf("got %+v behind %+v", done, want.bounds)
	}
	e, err = OpenExport(within(t), o)
	if err != nil {
		t.Fatal(err)
	}
	_ = e.log.Close() // broken off
	back := filepath.Join(t.TempDir(), "changes.db")
	toDisk(t, o, back)
	refused(errMoved)
	contentsOf(t, node).wantSame(t, contentsOf(t, onDisk(t, back, 10)))
}

// A stream with lower limits keeps the newest of a log that has let go of its oldest.
func testCopyIntoLess(t *testing.T, c *natstest.Cluster) {
	o := named(t, c, "less")
	o.MaxEvents = 3
	path := filepath.Join(t.TempDir(), "changes.db")
	disk := onDisk(t, path, 5)
	for i := range 8 {
		logtest.Append(t, disk, changeOf(fmt.Sprint(i)))
	}
	want := contentsOf(t, disk)
	disk.Close()
	if err := toNATS(t, path, o); err != nil {
		t.Fatal(err)
	}
	want.entries = want.entries[2:]
	want.bounds.Before, want.bounds.Oldest = want.bounds.Last-3, want.bounds.Last-2
	want.wantSame(t, contentsOf(t, open(t, o)))
}

// Rows beside a log that isn't there are somebody's; beside one that is of no use they are of none either.
func testCopyBesideRows(t *testing.T, c *natstest.Cluster) {
	o := named(t, c, "beside")
	path := filepath.Join(t.TempDir(), "changes.db")
	disk := onDisk(t, path, 10)
	logtest.Append(t, disk, changeOf("1"))
	disk.Close()
	l, err := dial(within(t), o)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	rows := jetstream.StreamConfig{
		Name: natsconn.RowsOf(o.Stream), Subjects: []string{o.Stream + ".rows.*.*"}, Metadata: map[string]string{natsconn.Mark: "rows"},
	}
	put := func() {
		t.Helper()
		if _, err := l.js.CreateOrUpdateStream(within(t), rows); err != nil {
			t.Fatal(err)
		}
		if _, err := l.js.Publish(within(t), o.Stream+".rows.1.x", nil); err != nil {
			t.Fatal(err)
		}
	}
	put()
	if err := toNATS(t, path, o); !errors.Is(err, errThere) {
		t.Errorf("beside rows: %v", err)
	}
	if err := l.js.DeleteStream(within(t), rows.Name); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken off")
	err = Import(within(t), o, hub.Bounds{Oldest: 2, Last: 1, Before: 1}, func(func(*hub.Change, time.Time) error) error { return nil }, func() error {
		put()
		return broken
	})
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	rows.Metadata[natsconn.Mark] = marked // another change log, called as this one's rows would be
	put()
	if err := toNATS(t, path, o); !errors.Is(err, errThere) {
		t.Errorf("beside another log: %v", err)
	}
	rows.Metadata[natsconn.Mark] = "rows"
	put()
	if err := toNATS(t, path, o); err != nil {
		t.Fatal(err)
	}
	if _, err := l.js.Stream(within(t), rows.Name); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("rows of a copy that was broken off are there: %v", err)
	}
}
