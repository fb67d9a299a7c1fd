//go:build !race && !racedaemon

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/busbar-ws/busbar/internal/cli"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// trimmedLog has the daemon publish more than its log retains, in one body, and returns the last seq.
func (d *daemon) trimmedLog(retained int) (last uint64) {
	d.t.Helper()
	lines := strings.Repeat(`{"entity":"Todo","row_id":"t","kind":"update"}`+"\n", retained+1)
	answer := d.call("POST", "/v1/changes", d.admin, lines, "Content-Type", "application/x-ndjson")
	var published struct {
		LastSeq uint64 `json:"last_seq"`
	}
	if err := json.Unmarshal([]byte(answer.body), &published); err != nil || published.LastSeq == 0 {
		d.t.Fatalf("%d %s, %v", answer.status, answer.body, err)
	}
	return published.LastSeq
}

// largeSnapshot is a view of many rows. Its numbers are those of the rows from 1 on.
type largeSnapshot struct {
	rows, bytes int           // of a row's data
	seq         atomic.Uint64 // of the view
	sent        atomic.Int64  // rows
}

func (s *largeSnapshot) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	b := bufio.NewWriter(w)
	defer b.Flush()
	data := strings.Repeat("x", s.bytes)
	fmt.Fprintf(b, `{"begin":%d}`+"\n", s.seq.Load())
	for seq := 1; seq <= s.rows; seq++ {
		if _, err := fmt.Fprintf(b, `{"seq":%d,"entity":"Todo","row_id":"t_%d","kind":"insert","data":"%s","timestamp":"1Z"}`+"\n", seq, seq, data); err != nil {
			return
		}
		s.sent.Store(int64(seq))
	}
	fmt.Fprintf(b, `{"end":%d}`+"\n", s.seq.Load())
}

// docs/protocol.md section 1, -snapshot-url: a hundred thousand rows to a client that reads slowly take a page of
// memory, and no more is read of them than it takes. What is published meanwhile comes behind them, once.
func TestLargeSnapshotForASlowReader(t *testing.T) {
	t.Parallel()
	const (
		rows, size = 100_000, 300
		retained   = 1000
		between    = 2000 // rows that are read between two changes
		ceiling    = 8 * cli.MiB
		sockets    = 16 * cli.MiB // what two loopback connections may hold at both ends, with what is on its way
	)
	s := &largeSnapshot{rows: rows, bytes: size}
	service := httptest.NewServer(s)
	t.Cleanup(service.Close)
	d := startDaemon(t, "-auth", "none", "-snapshot-url", service.URL, "-log-events", strconv.Itoa(retained), "-log-bytes", "1MiB",
		"-buffer-memory", strconv.Itoa(ceiling), "-queue-bytes", "4MiB", "-max-message-out", "1MiB", "-lag-bytes", "1MiB", "-lag-time", "1h", "-ping-interval", "1h")
	last := d.trimmedLog(retained)
	s.seq.Store(last)
	before := d.peakResident()
	c, err := wstest.DialRaw(t, "", d.ws)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Upgrade("/?since=0"); err != nil {
		t.Fatal(err)
	}
	next := func() (seq uint64) {
		text, err := c.Text()
		if err != nil {
			t.Fatalf("%v\n%s", err, d.transcript())
		}
		digits, _, _ := strings.Cut(strings.TrimPrefix(text, `{"seq":`), ",")
		if seq, err = strconv.ParseUint(digits, 10, 64); err != nil {
			t.Fatalf("got %s", text)
		}
		return seq
	}
	var published []uint64
	ahead := int64(0)
	for row := uint64(1); row <= rows; row++ {
		if got := next(); got != row {
			t.Fatalf("row %d instead of %d", got, row)
		}
		if row%between == 0 {
			published = append(published, d.publish("live"))
			ahead = max(ahead, s.sent.Load()-int64(row))
		}
	}
	published = append(published, d.publish("the end"))
	for _, want := range published {
		if got := next(); got != want {
			t.Fatalf("got %d behind the rows, want %d", got, want)
		}
	}
	if ahead*size > sockets {
		t.Errorf("the service was up to %d rows ahead of the reader", ahead)
	}
	grown, most := d.peakResident()-before, ceiling+ceiling/garbageShare+8*cli.MiB
	t.Logf("resident memory grew by %d KiB; the service was up to %d rows ahead", grown/cli.KiB, ahead)
	if grown > most {
		t.Errorf("resident memory grew by %d KiB, at most %d", grown/cli.KiB, most/cli.KiB)
	}
	if n := d.buffered(); n > ceiling {
		t.Errorf("%d bytes are buffered", n)
	}
}

// A service that breaks off, hangs, answers something else or an old view costs the client that it was asked for a
// 1013, or the truth that what it gets isn't complete.
func TestSnapshotServicesThatFail(t *testing.T) {
	t.Parallel()
	const retained = 3
	url := service(t, func(w http.ResponseWriter, r *http.Request, over <-chan struct{}) {
		var question struct {
			UserID string `json:"user_id"`
		}
		if err := json.NewDecoder(r.Body).Decode(&question); err != nil {
			t.Error(err)
		}
		switch question.UserID {
		case "garbage":
			fmt.Fprint(w, "<html>")
			return
		case "down":
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		fmt.Fprintln(w, `{"begin":1}`)
		fmt.Fprintln(w, `{"seq":1,"entity":"Todo","row_id":"t","kind":"insert"}`)
		if question.UserID == "hangs" {
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
			case <-over:
			}
		}
	})
	for name, timeout := range map[string]string{"breaks off": "1h", "garbage": "1h", "down": "1h", "hangs": "100ms"} {
		d := startDaemon(t, "-snapshot-url", url, "-snapshot-timeout", timeout)
		seq := d.publish("t")
		cursor := startGoClient(t, d.url(fmt.Sprint("?since=", seq-1)), d.session("cursor"), "header")
		if reason := waitClose(t, startGoClient(t, d.url("?since=0"), d.session(name), "header"), 1013); reason != "the snapshot is unavailable, try again later" {
			t.Errorf("%s: %q", name, reason)
		}
		if m := waitChange(cursor); m.Seq != seq {
			t.Errorf("%s: who comes with a cursor got %+v", name, m)
		}
		d.waitOutput(d.log, "why", func(text string) bool { return strings.Contains(text, "fetching what a new client needs failed") })
	}
	d := startDaemon(t, "-snapshot-url", url, "-log-events", strconv.Itoa(retained))
	last := d.trimmedLog(retained)
	old := startGoClient(t, d.url("?since=0"), d.session("old"), "header")
	resync := old.wait(soon, "resync", func(e clientEvent) bool { return parse(e).Type == "resync" }).Data
	if want := fmt.Sprintf(`{"type":"resync","oldest_seq":%d,"seq":%d,"complete":false}`, last-retained+1, last-retained); resync != want {
		t.Errorf("told %s, want %s", resync, want)
	}
	for want := last - retained + 1; want <= last; want++ {
		if m := waitChange(old); m.Seq != want {
			t.Errorf("got %+v, want %d", m, want)
		}
	}
}
