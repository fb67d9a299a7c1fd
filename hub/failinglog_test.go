package hub

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/busbar-ws/busbar/wsproto"
	"github.com/coder/websocket"
)

var errDisk = errors.New("disk is full")

// brokenLog is a memory log that can be made to fail, to stop between storing and delivering,
// and to answer with short pages.
type brokenLog struct {
	*MemoryLog
	appendFails, rangeFails atomic.Bool
	takes                   int           // changes of a call that are stored before it fails; 0: all
	most                    int           // entries of a page, 0: as many as are asked for
	appended, goOn          chan struct{} // not nil: what is stored waits before it is delivered
	read                    chan struct{} // not nil: Range tells
}

func (l *brokenLog) Append(changes []Change) ([]Appended, error) {
	if l.appendFails.Load() {
		return nil, errDisk
	}
	if l.takes > 0 {
		done, _ := l.MemoryLog.Append(changes[:l.takes])
		return done, errDisk
	}
	return l.MemoryLog.Append(changes)
}

func (l *brokenLog) Follow(deliver func([]Entry)) {
	l.MemoryLog.Follow(func(entries []Entry) {
		if l.appended != nil {
			l.appended <- struct{}{}
			<-l.goOn
		}
		deliver(entries)
	})
}

func (l *brokenLog) Range(ctx context.Context, since uint64, limit int) (Page, error) {
	if l.rangeFails.Load() {
		return Page{}, errDisk
	}
	if l.most > 0 {
		limit = min(limit, l.most)
	}
	page, err := l.MemoryLog.Range(ctx, since, limit)
	if l.read != nil {
		l.read <- struct{}{}
	}
	return page, err
}

func startOn(t *testing.T, log *brokenLog) *Hub {
	log.MemoryLog = NewMemoryLog(0, 0)
	return start(t, func(o *Options) { o.Log, o.Logger = log, slog.New(slog.DiscardHandler) })
}

var someChange = Change{Entity: "E", RowID: "r", Kind: Update, Timestamp: "1Z"}

func mustPublish(t *testing.T, h *Hub, c Change) (seq uint64) {
	t.Helper()
	seq, err := h.PublishChange(c)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// A change that the log doesn't take is an error to its publisher, reaches nobody, and can
// be published again with the same op id.
func TestLogThatTakesNothing(t *testing.T) {
	var log brokenLog
	h := startOn(t, &log)
	alice := listen(t, h, "alice", "")
	log.appendFails.Store(true)
	c := someChange
	c.OpID = "once"
	if seq, err := h.PublishChange(c); !errors.Is(err, errDisk) || seq != 0 {
		t.Errorf("seq %d, %v", seq, err)
	}
	log.appendFails.Store(false)
	if seq := mustPublish(t, h, c); seq != 1 {
		t.Errorf("seq %d", seq)
	}
	if got := nextSeq(t, alice); got != 1 {
		t.Errorf("got %d", got)
	}
	nothingMore(t, h, alice)
}

// docs/protocol.md section 3: a client whose log can't be read is told to try again later; others lose nothing.
func TestLogThatCannotBeRead(t *testing.T) {
	var log brokenLog
	h := startOn(t, &log)
	alice := listen(t, h, "alice", "")
	mustPublish(t, h, someChange)
	log.rangeFails.Store(true)
	bob := listen(t, h, "bob", "?since=0")
	if code, _ := bob.ended(); code != 1013 {
		t.Errorf("close code %d", code)
	}
	if _, err := h.Pull(within(t), &Identity{UserID: "u"}, 0, 0); !errors.Is(err, errDisk) {
		t.Errorf("Pull: %v", err)
	}
	mustPublish(t, h, someChange)
	for want := uint64(1); want <= 2; want++ {
		if got := nextSeq(t, alice); got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
}

// docs/protocol.md section 1: a log may answer with less than it was asked for; that isn't the end of it.
func TestLogWithShortPages(t *testing.T) {
	log := brokenLog{most: 3}
	h := startOn(t, &log)
	for range 20 {
		mustPublish(t, h, someChange)
	}
	alice := listen(t, h, "alice", "?since=2")
	for want := uint64(3); want <= 20; want++ {
		if got := nextSeq(t, alice); got != want {
			t.Fatalf("got %d, want %d", got, want)
		}
	}
	nothingMore(t, h, alice)
}

// docs/protocol.md section 1, neither gap nor repeat: an event that a page has, because it was appended,
// while its publisher hasn't got round to sending it.
func TestSinceWhileAnEventIsBetweenLogAndLoops(t *testing.T) {
	log := brokenLog{appended: make(chan struct{}), goOn: make(chan struct{}), read: make(chan struct{})}
	h := startOn(t, &log)
	published := make(chan struct{})
	go func() {
		defer close(published)
		_, _ = h.PublishChange(someChange)
	}()
	<-log.appended
	alice := listen(t, h, "alice", "?since=0")
	<-log.read
	for range 20 { // in which what is wrong would happen
		if err := alice.settle(); err != nil {
			t.Fatal(err)
		}
	}
	close(log.goOn)
	<-published
	if got := nextSeq(t, alice); got != 1 {
		t.Errorf("got %d", got)
	}
	nothingMore(t, h, alice)
}

// docs/protocol.md section 3, resync: entries that the log lost before this hub had them are a loss to all of its
// clients.
func TestEntriesThatTheFollowerNeverGot(t *testing.T) {
	log := &followedLog{MemoryLog: NewMemoryLog(0, 0)}
	h := start(t, func(o *Options) { o.Log = log })
	mustPublish(t, h, someChange)
	told, silent := connectQuery(t, h, "told", "?since=1"), connect(t, h, "silent")
	log.deliver([]Entry{NewEntry(2, 1, &someChange)})
	for _, c := range []*client{told, silent} {
		if got := c.Text(); !strings.HasPrefix(got, `{"seq":2,`) {
			t.Errorf("got %s", got)
		}
	}
	log.deliver([]Entry{NewEntry(9, 7, &someChange), NewEntry(10, 9, &someChange)})
	for _, want := range []string{`{"type":"gap","from":3,"to":7}`, `{"type":"resync","oldest_seq":1,"seq":7}`, `{"seq":9,`, `{"seq":10,`} {
		if got := told.Text(); !strings.HasPrefix(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	silent.ExpectClose(websocket.StatusCode(wsproto.StatusTryAgainLater))
	log.deliver([]Entry{{Seq: 20, Prev: 20}}) // and nothing behind them
	for _, want := range []string{`{"type":"gap","from":11,"to":20}`, `{"type":"resync","oldest_seq":1,"seq":20}`} {
		if got := told.Text(); !strings.HasPrefix(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// followedLog lets a test deliver.
type followedLog struct {
	*MemoryLog
	deliver func([]Entry)
}

func (l *followedLog) Follow(deliver func([]Entry)) {
	l.deliver = deliver
	l.MemoryLog.Follow(deliver)
}
