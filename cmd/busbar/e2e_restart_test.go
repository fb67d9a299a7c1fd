package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// event is what a pull has of a change.
type event struct {
	Seq   uint64
	RowID string `json:"row_id"`
}

// pull reads the log behind a cursor, to its end.
func (d *daemon) pull(since uint64) (events []event) {
	d.t.Helper()
	for more := true; more; {
		r := d.call("GET", fmt.Sprintf("/api/sync/pull?since=%d&limit=1000", since), d.admin, "")
		var page struct {
			Changes []event
			HasMore bool `json:"has_more"`
			Cursor  struct {
				LastSeq uint64 `json:"last_seq"`
			}
		}
		if err := json.Unmarshal([]byte(r.body), &page); err != nil || r.status != 200 {
			d.t.Fatalf("pull since %d: %d %s", since, r.status, r.body)
		}
		events, since, more = append(events, page.Changes...), page.Cursor.LastSeq, page.HasMore
	}
	return events
}

// wantResync wants a cursor to be refused, by a pull and over the WebSocket, with these bounds.
func (d *daemon) wantResync(token string, since, oldest, last uint64) {
	d.t.Helper()
	if r := d.call("GET", fmt.Sprintf("/api/sync/pull?since=%d", since), token, ""); r.status != 410 ||
		!strings.Contains(r.body, fmt.Sprintf(`"oldest_seq":%d`, oldest)) {
		d.t.Errorf("pull since %d: %d %s, want oldest %d", since, r.status, r.body, oldest)
	}
	c := startGoClient(d.t, d.url(fmt.Sprintf("?since=%d", since)), token, "header")
	if m := waitType(c, "resync"); m.OldestSeq != oldest || m.Seq != last {
		d.t.Errorf("since %d: resync %+v, want oldest %d and seq %d", since, m, oldest, last)
	}
}

// docs/protocol.md sections 1, 3 and 5: neither a restart nor a crash costs an event, a row, a cursor or
// what is known of an op id.
func TestRestartCostsNothing(t *testing.T) {
	for name, end := range map[string]func(*daemon){"restart": func(d *daemon) { d.stop() }, "crash": (*daemon).crash} {
		t.Run(name, func(t *testing.T) {
			d := onOwnAddress(t)
			token := d.session("alice")
			first := d.publishMany(3)
			var once struct{ Seq uint64 }
			const op = `{"entity":"Todo","row_id":"once","kind":"delete","op_id":"op-1"}`
			d.adminCall("POST", "/v1/changes", op, &once)
			if r := d.call("PUT", "/v1/rows/Doc/1", d.admin, "payload"); r.status != 204 {
				t.Fatalf("a row: %d %s", r.status, r.body)
			}
			end(d)
			d = d.restart()
			last := first + 3
			if once.Seq != last {
				t.Errorf("seq %d behind %d", once.Seq, last-1)
			}
			var again struct{ Seq uint64 }
			if d.adminCall("POST", "/v1/changes", op, &again); again != once {
				t.Errorf("the same op id gets %d, and got %d", again.Seq, once.Seq)
			}
			d.wantResync(token, first-2, first, last)
			d.wantResync(token, last+1, first, last)
			reader := wstest.Connect(t, d.url(""), token)
			reader.Send(`{"type":"crdt-subscribe","entity":"Doc","rowId":"1"}`)
			reader.Expect(websocket.MessageBinary, "\x10\x00\x03Doc\x00\x011payload")
			behind := startGoClient(t, d.url(fmt.Sprintf("?since=%d", first)), token, "header")
			current := startGoClient(t, d.url(fmt.Sprintf("?since=%d", last)), token, "header")
			current.waitEvent(soon, "open")
			for want := first + 1; want <= last; want++ {
				if m := waitChange(behind); m.Seq != want {
					t.Errorf("got %d, want %d", m.Seq, want)
				}
			}
			if seq := d.publish("t_1"); seq != last+1 || waitChange(behind).Seq != seq || waitChange(current).Seq != seq {
				t.Errorf("the next is %d, want %d", seq, last+1)
			}
		})
	}
}

// docs/protocol.md section 5: what publishers had an answer for when the server was killed is there, once and in order.
func TestCrashUnderLoadLosesNothing(t *testing.T) {
	d := onOwnAddress(t)
	acknowledged := map[string]uint64{}
	for round := range 3 {
		var mu sync.Mutex
		var all sync.WaitGroup
		enough := make(chan struct{})
		for p := range 8 {
			all.Go(func() {
				for n := 0; ; n++ {
					row := fmt.Sprintf("%d/%d/%d", round, p, n)
					var answer struct{ Seq uint64 }
					r, err := d.tryCall("POST", "/v1/changes", d.admin, `{"entity":"Todo","row_id":"`+row+`","kind":"delete"}`)
					if err != nil || r.status != 200 || json.Unmarshal([]byte(r.body), &answer) != nil {
						return
					}
					mu.Lock()
					if acknowledged[row] = answer.Seq; len(acknowledged) == 300*(round+1) {
						close(enough)
					}
					mu.Unlock()
				}
			})
		}
		<-enough
		d.crash()
		all.Wait()
		d = d.restart()
		events := d.pull(0)
		if !slices.IsSortedFunc(events, func(a, b event) int { return int(a.Seq) - int(b.Seq) }) {
			t.Error("out of order")
		}
		found := map[string]uint64{}
		for _, e := range events {
			if found[e.RowID] != 0 {
				t.Errorf("%s is there twice", e.RowID)
			}
			found[e.RowID] = e.Seq
		}
		for row, seq := range acknowledged {
			if found[row] != seq {
				t.Fatalf("%s was acknowledged as %d, and is %d", row, seq, found[row])
			}
		}
	}
}

// docs/protocol.md section 1: a log that is gone, or that was in memory, has each earlier cursor too old.
func TestCursorsOfALogThatIsGone(t *testing.T) {
	for name, args := range map[string][]string{"disk": nil, "memory": {"-log", "memory"}} {
		t.Run(name, func(t *testing.T) {
			d := startDaemon(t, args...)
			first := d.publishMany(3)
			d.stop()
			if files, _ := filepath.Glob(filepath.Join(d.dir, "changes.db*")); (len(files) > 0) != (name == "disk") {
				t.Errorf("left in the data directory: %v", files)
			}
			if err := os.RemoveAll(filepath.Join(d.dir, "changes.db")); err != nil {
				t.Fatal(err)
			}
			d = startDaemon(t, append(args, "-data", d.dir)...)
			token := d.session("alice")
			oldest := uint64(d.metric("busbar_change_log_oldest_seq"))
			if oldest <= first+2 {
				t.Errorf("the new log begins with %d, and the earlier had %d", oldest, first+2)
			}
			d.wantResync(token, first+2, oldest, oldest-1)
			if seq := d.publish("t_1"); seq != oldest {
				t.Errorf("the first is %d, want %d", seq, oldest)
			}
			d.wantResync(token, first+2, oldest, oldest)
		})
	}
}

// docs/protocol.md section 5: the edges of what is retained are the same right after a start.
func TestRetentionEdgesAfterAStart(t *testing.T) {
	d := onOwnAddress(t)
	token := d.session("alice")
	d.stop()
	d = d.restart("-log-events", "10")
	first := d.publishMany(25)
	d.stop()
	d = d.restart("-log-events", "10")
	d.wantResync(token, first+13, first+15, first+24)
	if events := d.pull(first + 14); len(events) != 10 || events[0].Seq != first+15 {
		t.Errorf("got %+v, want 10 from %d on", events, first+15)
	}
	if events := d.pull(first + 24); len(events) != 0 {
		t.Errorf("got %+v", events)
	}
}

// docs/protocol.md section 7: busbar log bump makes every cursor from before too old, while no server runs.
func TestLogBump(t *testing.T) {
	d := onOwnAddress(t)
	token := d.session("alice")
	first := d.publishMany(3)
	bump := func() commandOutcome { return runCommand("", nil, "log", "bump", "-data", d.dir) }
	bump().want(t, exitFailure, "another busbar serves from")
	d.stop()
	o := bump()
	o.want(t, exitOK)
	var events int
	var last uint64
	if _, err := fmt.Sscanf(o.out, "%d events were let go of; sequence numbers go on above %d", &events, &last); err != nil || events != 3 {
		t.Errorf("printed %s", o.out)
	}
	d = d.restart()
	for _, since := range []uint64{first, first + 2, first + 1000} {
		d.wantResync(token, since, last+1, last)
	}
	if seq := d.publish("t_1"); seq != last+1 {
		t.Errorf("the next is %d, want %d", seq, last+1)
	}
	runCommand("", nil, "log", "bump", "-data", t.TempDir()).want(t, exitFailure, "there is no change log")
	if o := runCommand("", nil, "log"); o.code != exitOK || !strings.Contains(o.out, "busbar log bump") {
		t.Errorf("busbar log: %+v", o)
	}
}
