package hub

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/eventloop"
)

// viewBackend has the last change of each row, and gives clients a view of them.
type viewBackend struct {
	mu    sync.Mutex
	rows  map[string]Change
	last  uint64
	views map[string]uint64 // seqs of those that were given, by user
}

func newViewBackend() *viewBackend {
	return &viewBackend{rows: map[string]Change{}, views: map[string]uint64{}}
}

// publish changes a row. Its seq is known when the next view is taken.
func (b *viewBackend) publish(t *testing.T, h *Hub, row string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := Change{Entity: "E", RowID: row, Kind: Update, Timestamp: "1Z"}
	seq, err := h.PublishChange(c)
	if err != nil {
		t.Error(err)
		return
	}
	c.Seq = seq
	b.rows[row], b.last = c, seq
}

func (b *viewBackend) view(user string) (rows []Change, seq uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rows = slices.SortedFunc(maps.Values(b.rows), func(x, y Change) int { return cmp.Compare(x.Seq, y.Seq) })
	b.views[user] = b.last
	return rows, b.last
}

func (b *viewBackend) fetch(_ context.Context, id *Identity, to *ViewWriter) error {
	rows, seq := b.view(id.UserID)
	return giveView(to, seq, rows...)
}

func giveView(to *ViewWriter, seq uint64, rows ...Change) error {
	if err := to.Begin(seq); err != nil {
		return err
	}
	for _, c := range rows {
		if err := to.Write(c); err != nil {
			return err
		}
	}
	return nil
}

// viewOf is a view's row, small or of some size.
func viewOf(seq uint64, data string) Change {
	return Change{Entity: "E", RowID: fmt.Sprint(seq), Kind: Update, Timestamp: "1Z", Seq: seq, Data: json.RawMessage(data)}
}

func startViews(t *testing.T, fetch ViewFetcher, change func(*Options)) *Hub {
	return start(t, func(o *Options) {
		roomy(o)
		o.Views = ViewOptions{Fetch: fetch, Timeout: patience}
		o.Logger = slog.New(slog.DiscardHandler)
		if change != nil {
			change(o)
		}
	})
}

// docs/protocol.md section 1: a client that begins with nothing has each row's last change, in rising order, and
// behind that the log with neither gap nor repeat, while there is more published.
func TestViewAndLogHaveNeitherGapNorRepeat(t *testing.T) {
	const rows, retained, clients = 3 * pageEvents, 20_000, 4
	b := newViewBackend()
	h := startViews(t, b.fetch, func(o *Options) { o.Log = NewMemoryLog(retained, 0) })
	for n := range rows {
		b.publish(t, h, fmt.Sprint(n))
	}
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for n := 0; n < retained/2; n++ {
			select {
			case <-done:
				return
			default:
				b.publish(t, h, fmt.Sprint(n%rows))
			}
		}
	})
	var all []*listener
	for n := range clients {
		all = append(all, listen(t, h, fmt.Sprint("user", n), "?since=0"))
	}
	var first []uint64
	for _, c := range all {
		first = append(first, nextSeq(t, c))
	}
	close(done)
	running.Wait()
	b.publish(t, h, "end")
	for n, c := range all {
		user, last := fmt.Sprint("user", n), first[n]
		got := map[uint64]bool{last: true}
		for last < b.last {
			seq := nextSeq(t, c)
			if seq <= last || last >= b.views[user] && seq != last+1 {
				t.Fatalf("%s, whose view is up to %d: got %d behind %d", user, b.views[user], seq, last)
			}
			last, got[seq] = seq, true
		}
		for row, change := range b.rows {
			if !got[change.Seq] {
				t.Fatalf("%s has nothing of row %s, changed at %d", user, row, change.Seq)
			}
		}
	}
	nothingMore(t, h, all...)
}

// What one publisher publishes while a client gets its view comes behind it, in its order.
func TestOrderBehindAView(t *testing.T) {
	taken, goOn := make(chan struct{}), make(chan struct{})
	h := startViews(t, func(_ context.Context, _ *Identity, to *ViewWriter) error {
		if err := to.Begin(1); err != nil {
			return err
		}
		close(taken)
		<-goOn
		return to.Write(viewOf(1, ""))
	}, nil)
	mustPublish(t, h, someChange)
	alice := listen(t, h, "alice", "?since=0")
	<-taken
	mustPublish(t, h, someChange)
	if err := h.BroadcastBinary([]byte("behind 2")); err != nil {
		t.Fatal(err)
	}
	mustPublish(t, h, someChange)
	handled(t, h)
	close(goOn)
	for _, want := range []string{
		`{"seq":1,"entity":"E","row_id":"1","kind":"update","timestamp":"1Z"}`,
		`{"seq":2,"entity":"E","row_id":"r","kind":"update","timestamp":"1Z"}`,
		`binary "behind 2"`,
		`{"seq":3,"entity":"E","row_id":"r","kind":"update","timestamp":"1Z"}`,
	} {
		alice.gets(want)
	}
	nothingMore(t, h, alice)
}

// A view that breaks one of its rules, or isn't whole, ends its client with 1013.
func TestViewsThatAreNotTaken(t *testing.T) {
	changed := func(change func(*Change)) Change {
		c := viewOf(2, "1")
		change(&c)
		return c
	}
	whole := func(rows ...Change) ViewFetcher {
		return func(_ context.Context, _ *Identity, to *ViewWriter) error { return giveView(to, 3, rows...) }
	}
	for name, fetch := range map[string]ViewFetcher{
		"fails at once": func(context.Context, *Identity, *ViewWriter) error { return errDisk },
		"fails on the way": func(_ context.Context, _ *Identity, to *ViewWriter) error {
			return errors.Join(giveView(to, 3, viewOf(1, "")), errDisk)
		},
		"panics": func(_ context.Context, _ *Identity, to *ViewWriter) error {
			_ = giveView(to, 3, viewOf(1, ""))
			panic("in a view")
		},
		"hangs": func(ctx context.Context, _ *Identity, to *ViewWriter) error {
			_ = giveView(to, 3, viewOf(1, ""))
			<-ctx.Done()
			return nil
		},
		"says nothing":     func(context.Context, *Identity, *ViewWriter) error { return nil },
		"has no beginning": func(_ context.Context, _ *Identity, to *ViewWriter) error { return to.Write(viewOf(1, "")) },
		"has two":          func(_ context.Context, _ *Identity, to *ViewWriter) error { _ = to.Begin(3); return to.Begin(3) },
		"begins ahead":     func(_ context.Context, _ *Identity, to *ViewWriter) error { return to.Begin(4) },
		"begins above all": func(_ context.Context, _ *Identity, to *ViewWriter) error { return to.Begin(MaxSeq + 1) },
		"ignores errors": func(_ context.Context, _ *Identity, to *ViewWriter) error {
			_ = giveView(to, 3, viewOf(4, ""))
			return nil
		},
		"repeats a seq":        whole(viewOf(1, ""), viewOf(1, "")),
		"falls":                whole(viewOf(2, ""), viewOf(1, "")),
		"has no seq":           whole(viewOf(0, "")),
		"is above its own seq": whole(viewOf(4, "")),
		"has an op id":         whole(changed(func(c *Change) { c.OpID = "x" })),
		"has an audience":      whole(changed(func(c *Change) { c.Audience.Tenant = "acme" })),
		"has no kind":          whole(changed(func(c *Change) { c.Kind = "" })),
		"has no entity":        whole(changed(func(c *Change) { c.Entity = "" })),
		"isn't JSON":           whole(viewOf(1, "{")),
		"has a name twice":     whole(viewOf(1, `{"a":1,"a":2}`)),
		"is too large":         whole(viewOf(1, `"`+strings.Repeat("x", 1000)+`"`)),
	} {
		t.Run(name, func(t *testing.T) {
			h := startViews(t, fetch, func(o *Options) {
				o.MaxMessageOut = 1000
				if name == "hangs" || name == "begins ahead" {
					o.Views.Timeout = 20 * time.Millisecond
				}
			})
			for range 3 {
				mustPublish(t, h, someChange)
			}
			alice, bob := listen(t, h, "alice", "?since=0"), listen(t, h, "bob", "?since=1")
			if code, reason := alice.ended(); code != 1013 {
				t.Errorf("closed with %d %q", code, reason)
			}
			for want := uint64(2); want <= 3; want++ {
				if got := nextSeq(t, bob); got != want {
					t.Errorf("who comes with a cursor got %d, want %d", got, want)
				}
			}
		})
	}
}

// A view that is older than the log, from the beginning or because its client took long for it: the client is told
// that what follows isn't complete.
func TestViewsThatAreTooOld(t *testing.T) {
	for name, trimsMeanwhile := range map[string]bool{"from the beginning": false, "meanwhile": true} {
		t.Run(name, func(t *testing.T) {
			var h *Hub
			publish := func() {
				for range 4 {
					mustPublish(t, h, someChange)
				}
			}
			h = startViews(t, func(_ context.Context, _ *Identity, to *ViewWriter) error {
				err := giveView(to, 4, viewOf(3, ""), viewOf(4, ""))
				if trimsMeanwhile {
					publish()
				}
				return err
			}, func(o *Options) { o.Log = NewMemoryLog(3, 0) })
			publish()
			if !trimsMeanwhile {
				publish()
			}
			alice := listen(t, h, "alice", "?since=0")
			if trimsMeanwhile {
				alice.gets(`{"seq":3,"entity":"E","row_id":"3","kind":"update","timestamp":"1Z"}`)
				alice.gets(`{"seq":4,"entity":"E","row_id":"4","kind":"update","timestamp":"1Z"}`)
			}
			alice.gets(`{"type":"resync","oldest_seq":6,"seq":5,"complete":false}`)
			for want := uint64(6); want <= 8; want++ {
				if got := nextSeq(t, alice); got != want {
					t.Errorf("got %d, want %d", got, want)
				}
			}
			nothingMore(t, h, alice)
		})
	}
}

// A view may be of any age where the log has everything since it began, and ahead of one that has had nothing yet.
func TestViewsBesideANewLog(t *testing.T) {
	for name, c := range map[string]struct {
		begins, published int // the log, and what it has got
		view              uint64
		want              []uint64
	}{
		"before it, empty": {begins: 10, view: 4, want: []uint64{4}},
		"before it":        {begins: 10, published: 2, view: 4, want: []uint64{4, 11, 12}},
		"ahead of it":      {begins: 0, view: 4, want: []uint64{4}},
		"within it":        {begins: 10, published: 2, view: 11, want: []uint64{11, 12}},
		"up to its end":    {begins: 10, published: 2, view: 12, want: []uint64{12}},
	} {
		t.Run(name, func(t *testing.T) {
			h := startViews(t, func(_ context.Context, _ *Identity, to *ViewWriter) error {
				return giveView(to, c.view, viewOf(c.view, ""))
			}, func(o *Options) {
				log := &resumedLog{NewMemoryLog(100, 0)}
				log.MemoryLog.Resume(uint64(c.begins))
				o.Log = log
			})
			for range c.published {
				mustPublish(t, h, someChange)
			}
			alice := listen(t, h, "alice", "?since=0")
			for _, want := range c.want {
				if got := nextSeq(t, alice); got != want {
					t.Errorf("got %d, want %d", got, want)
				}
			}
			nothingMore(t, h, alice)
		})
	}
}

// resumedLog is one that start doesn't resume.
type resumedLog struct{ *MemoryLog }

func (*resumedLog) Resume() {}

// A view that is ahead of the log because a change is on its way is given once that has come.
func TestViewAheadOfTheLog(t *testing.T) {
	asked := make(chan struct{})
	h := startViews(t, func(_ context.Context, _ *Identity, to *ViewWriter) error {
		close(asked)
		return giveView(to, 2, viewOf(2, ""))
	}, nil)
	mustPublish(t, h, someChange)
	alice := listen(t, h, "alice", "?since=0")
	<-asked
	mustPublish(t, h, someChange)
	alice.gets(`{"seq":2,"entity":"E","row_id":"2","kind":"update","timestamp":"1Z"}`)
	nothingMore(t, h, alice)
}

// largeView goes on until its client has gone.
func largeView(gone chan<- error) ViewFetcher {
	return func(_ context.Context, _ *Identity, to *ViewWriter) error {
		err := to.Begin(MaxSeq)
		for seq := uint64(1); err == nil; seq++ {
			err = to.Write(viewOf(seq, `"`+strings.Repeat("x", 32<<10)+`"`))
		}
		gone <- err
		return err
	}
}

// A view is given no faster than it is taken; a client that takes next to nothing makes room for others, and when
// it goes its view ends.
func TestViewsEndWithTheirClients(t *testing.T) {
	for _, name := range []string{"takes nothing", "goes"} {
		t.Run(name, func(t *testing.T) {
			gone := make(chan error, 1)
			h := startViews(t, largeView(gone), func(o *Options) { o.Loops.SendBuffer, o.Loops.Loops = 16<<10, 1 })
			connect(t, h, "bob") // the loop has its first
			wait := patience
			if name == "takes nothing" {
				wait = 20 * time.Millisecond
			}
			if err := h.engine.Each(t.Context(), func(*eventloop.Loop) { h.viewPatience = wait }); err != nil { // on its loop
				t.Fatal(err)
			}
			alice := connectQuery(t, h, "alice", "?since=0")
			alice.Text() // it is under way
			if name == "goes" {
				_ = alice.CloseNow()
			}
			select {
			case err := <-gone:
				if !errors.Is(err, errViewReader) && name == "takes nothing" || !errors.Is(err, context.Canceled) && name == "goes" {
					t.Errorf("it ended with %v", err)
				}
			case <-time.After(patience):
				t.Fatal("it goes on")
			}
			eventually(t, "nothing is fetched", h.queues.idle)
			if name == "takes nothing" {
				alice.ExpectClose(1013)
			}
		})
	}
}
