package logqueue

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// reader takes what a queue writes. The test looks at it while the queue has nothing to do.
type reader struct {
	stalled chan struct{} // until this is closed, unless it is nil
	err     error
	text    bytes.Buffer
}

func (r *reader) Write(p []byte) (int, error) {
	if r.stalled != nil {
		<-r.stalled
	}
	if r.err != nil {
		return 0, r.err
	}
	return r.text.Write(p)
}

func TestRecordsAreWrittenInOrder(t *testing.T) {
	var out reader
	q := New(&out)
	want := ""
	line := make([]byte, 0, 16)
	for i := range 1000 {
		line = fmt.Appendf(line[:0], "%d\n", i) // the caller may use it again
		_, _ = q.Write(line)
		want += string(line)
	}
	q.Close(time.Minute)
	if out.text.String() != want || q.Dropped() != 0 {
		t.Errorf("dropped %d, got\n%s", q.Dropped(), out.text.String())
	}
}

// Nobody who writes waits for the reader; what doesn't fit is counted, and told in the log's own form once
// there is room.
func TestAReaderThatStalls(t *testing.T) {
	for name, size := range map[string]int{"records": 10, "bytes": maxBytes / 100} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out := reader{stalled: make(chan struct{})}
				q := New(&out)
				log := slog.New(slog.NewJSONHandler(q, nil))
				q.OnRoom(func(dropped uint64) { log.Warn("log records were dropped", "records", dropped) })
				_, _ = q.Write([]byte("first\n"))
				synctest.Wait() // it hangs in there
				fits, record := min(maxRecords, maxBytes/size), make([]byte, size)
				for range fits + 3 {
					_, _ = q.Write(record)
				}
				if q.Dropped() != 3 {
					t.Errorf("%d records were dropped, want 3", q.Dropped())
				}
				close(out.stalled)
				synctest.Wait()
				if text := out.text.String(); !strings.HasPrefix(text, "first\n") ||
					!strings.HasSuffix(text, `"level":"WARN","msg":"log records were dropped","records":3}`+"\n") {
					t.Errorf("got %.10s…%.120s", text, text[max(0, len(text)-120):])
				}
				q.Close(time.Minute)
				if q.Dropped() != 3 {
					t.Errorf("%d records were dropped in all", q.Dropped())
				}
			})
		})
	}
}

// The end waits for what is still to be written, and no longer than it may.
func TestCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := reader{stalled: make(chan struct{})}
		q := New(&out)
		_, _ = q.Write([]byte("x"))
		began := time.Now()
		q.Close(time.Second)
		if took := time.Since(began); took != time.Second { // of the bubble's clock
			t.Errorf("took %v", took)
		}
		_, _ = q.Write([]byte("y"))
		close(out.stalled)
		synctest.Wait()
		if out.text.String() != "x" || q.Dropped() != 1 {
			t.Errorf("got %q, dropped %d", out.text.String(), q.Dropped())
		}
	})
}

// What was dropped shortly before the end is told at the end, once; what comes behind it isn't.
func TestDroppedBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := reader{stalled: make(chan struct{})}
		q := New(&out)
		q.OnRoom(func(dropped uint64) { fmt.Fprintf(q, "%d dropped", dropped) })
		_, _ = q.Write([]byte("first\n"))
		synctest.Wait()                        // it hangs in there
		_, _ = q.Write(make([]byte, maxBytes)) // fits
		_, _ = q.Write([]byte("lost"))
		go q.Close(time.Minute)
		synctest.Wait()
		_, _ = q.Write([]byte("late"))
		close(out.stalled)
		<-q.ended
		if text := out.text.String(); !strings.HasSuffix(text, "\x001 dropped") || q.Dropped() != 2 {
			t.Errorf("wrote …%q, dropped %d", text[max(0, len(text)-30):], q.Dropped())
		}
	})
}

// Records that can't be written are counted, and don't make others.
func TestAReaderThatHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &reader{err: errors.New("broken pipe")}
		q := New(out)
		told := uint64(0)
		q.OnRoom(func(n uint64) { told += n })
		for range 5 {
			_, _ = q.Write([]byte("x"))
			synctest.Wait()
		}
		if q.Dropped() != 5 || told != 0 {
			t.Errorf("dropped %d, told %d", q.Dropped(), told)
		}
		out.err = nil
		_, _ = q.Write([]byte("back"))
		synctest.Wait()
		if out.text.String() != "back" || told != 5 {
			t.Errorf("got %q, told %d", out.text.String(), told)
		}
		q.Close(time.Minute)
	})
}
