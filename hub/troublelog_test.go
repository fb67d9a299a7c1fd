package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestTroubleLogLeavesOutWhatComesWithinASecond(t *testing.T) {
	var text strings.Builder
	logger := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
	var trouble troubleLog
	start := time.Unix(1_000_000, 0)
	for _, after := range []time.Duration{0, 1, troubleInterval - 1, troubleInterval, 2 * troubleInterval} {
		trouble.warn(logger, start.Add(after), "trouble", "after", after)
	}
	const want = "level=WARN msg=trouble after=0s\n" +
		"level=WARN msg=trouble after=1s left_out=2\n" +
		"level=WARN msg=trouble after=2s\n"
	if text.String() != want {
		t.Errorf("logged\n%swant\n%s", text.String(), want)
	}
}

func withoutTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// lockedText may be read while it is being written.
type lockedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// A client can neither fill the log with what it asks for, nor write long lines into it.
func TestFailedFetchesDoNotFillTheLog(t *testing.T) {
	const fetches = 20
	var logged lockedText
	var called atomic.Int32
	h := start(t, func(o *Options) {
		o.Logger = slog.New(slog.NewTextHandler(&logged, nil))
		o.Snapshots = func(context.Context, *Identity, string, string) ([]byte, bool, error) {
			called.Add(1)
			return nil, false, errors.New("down")
		}
	})
	began := time.Now()
	alice := connect(t, h, "alice")
	for i := range fetches {
		alice.Send(fmt.Sprintf(`{"type":"crdt-subscribe","entity":%q,"rowId":"%d"}`, strings.Repeat("E", 1000), i))
	}
	eventually(t, "many were asked for", func() bool { return called.Load() >= fetches/2 })
	eventually(t, "the first is logged", func() bool { return strings.Contains(logged.String(), "down") })
	if err := h.Shutdown(within(t)); err != nil { // the workers have ended
		t.Fatal(err)
	}
	most := 1 + int(time.Since(began)/troubleInterval)
	if lines := strings.Count(logged.String(), "down"); lines > most {
		t.Errorf("%d lines were logged, want at most %d", lines, most)
	}
	if strings.Contains(logged.String(), strings.Repeat("E", maxLogged+1)) {
		t.Errorf("a long name was logged:\n%s", logged.String())
	}
}

// What isn't logged isn't put into words either: strangers cause it on the loops.
func TestWhatIsNotLoggedCostsNothing(t *testing.T) {
	h := &Hub{opts: Options{Logger: slog.New(slog.DiscardHandler)}, refusals: newRefusals()}
	now, origin := time.Now(), "https://"+strings.Repeat("\u00fc", 60)+".example"
	refused := error(&Refusal{Cause: CauseIssuer, UserID: "u", Detail: "d"})
	for what, note := range map[string]func(){
		"an origin":         func() { h.noteForeignOrigin(origin, now) },
		"a token's refusal": func() { h.refusals.note(h.opts.Logger, now, "t", refused) },
		"no token":          func() { h.refusals.note(h.opts.Logger, now, "", ErrUnauthorized) },
	} {
		if n := testing.AllocsPerRun(10, note); n > 0 { // the first of a second, which is logged, isn't counted
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}
