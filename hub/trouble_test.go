package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/hub/internal/trouble"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// A client can neither fill the log with what it asks for, nor write long lines into it.
func TestFailedFetchesDoNotFillTheLog(t *testing.T) {
	const fetches = 20
	var logged wstest.Text
	var called atomic.Int32
	h := start(t, func(o *Options) {
		o.Logger = slog.New(slog.NewTextHandler(&logged, nil))
		o.Rows.Fetch = func(context.Context, *Identity, string, string) ([]byte, bool, error) {
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
	most := 1 + int(time.Since(began)/trouble.Interval)
	if lines := strings.Count(logged.String(), "down"); lines > most {
		t.Errorf("%d lines were logged, want at most %d", lines, most)
	}
	if strings.Contains(logged.String(), strings.Repeat("E", trouble.MaxName+1)) {
		t.Errorf("a long name was logged:\n%s", logged.String())
	}
}

// What isn't logged isn't put into words either: strangers cause it on the loops.
func TestWhatIsNotLoggedCostsNothing(t *testing.T) {
	h := &Hub{opts: Options{Logger: slog.New(slog.DiscardHandler)}, refused: newRefused()}
	now, origin := time.Now(), "https://"+strings.Repeat("\u00fc", 60)+".example"
	refused := error(&Refusal{Cause: CauseIssuer, UserID: "u", Detail: "d"})
	for what, note := range map[string]func(){
		"an origin":         func() { h.noteForeignOrigin(origin, now) },
		"a token's refusal": func() { h.noteRefused(now, "t", refused) },
		"no token":          func() { h.noteRefused(now, "", ErrUnauthorized) },
	} {
		if n := testing.AllocsPerRun(10, note); n > 0 { // the first of a second, which is logged, isn't counted
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}

// Who publishes a tenant's row for others, or forgets to name its tenant, is told of in the log.
func TestTakingARowFromItsTenantIsLogged(t *testing.T) {
	var log bytes.Buffer
	h := start(t, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	publish := func(kind RowKind, tenant string) {
		h.trouble = trouble.Log{}
		if err := h.PublishRow(kind, tenant, "E", "r", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	const warning = "others than its tenant"
	publish(Snapshot, "")
	publish(Snapshot, "acme")
	publish(Snapshot, "acme")
	publish(Incremental, "")
	if strings.Contains(log.String(), warning) {
		t.Error("nobody's row was taken: ", log.String())
	}
	publish(Snapshot, "")
	publish(Snapshot, "acme")
	publish(Snapshot, "other")
	if n := strings.Count(log.String(), warning); n != 2 {
		t.Errorf("%d warnings: %s", n, log.String())
	}
}
