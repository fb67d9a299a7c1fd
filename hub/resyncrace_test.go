package hub

import (
	"context"
	"runtime"
	"sync"
	"testing"
)

// halfPublished is a log whose first event is in it, and in no mailbox, until it has been read.
type halfPublished struct {
	*MemoryLog
	appended, read chan struct{}
	once           sync.Once
}

func (l *halfPublished) Follow(deliver func([]Entry)) {
	l.MemoryLog.Follow(func(entries []Entry) {
		l.once.Do(func() {
			close(l.appended)
			<-l.read
		})
		deliver(entries)
	})
}

func (l *halfPublished) Range(ctx context.Context, since uint64, limit int) (Page, error) {
	go func() {
		for range 10_000 { // whoever doesn't wait for the publisher is ahead of it
			runtime.Gosched()
		}
		close(l.read)
	}()
	return l.MemoryLog.Range(ctx, since, limit)
}

// A client that is told to resync is told of the last seq, which its publisher may not have
// finished with. It isn't sent that event again.
func TestResyncNamesNoEventThatIsStillToCome(t *testing.T) {
	log := &halfPublished{MemoryLog: NewMemoryLog(0, 0), appended: make(chan struct{}), read: make(chan struct{})}
	h := start(t, func(o *Options) { o.Log = log })
	publish := func() {
		if _, err := h.PublishChange(Change{Entity: "E", RowID: "r", Kind: Insert}); err != nil {
			t.Error(err)
		}
	}
	var publishing sync.WaitGroup
	publishing.Go(publish)
	<-log.appended
	c := connectQuery(t, h, "u", "?since=999")
	if got, want := c.Text(), `{"type":"resync","oldest_seq":1,"seq":1}`; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	publishing.Wait()
	publish()
	if got := c.Text(); got[:8] != `{"seq":2` {
		t.Errorf("behind the resync to 1 comes %s, want the event 2", got)
	}
}
