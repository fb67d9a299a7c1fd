package client

import (
	"errors"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// docs/protocol.md section 3: what is a change event or a resync, and what only looks like one.
func TestParse(t *testing.T) {
	for _, c := range []struct {
		message, is string
		seq         uint64
	}{
		{`{"seq":5,"entity":"T","row_id":"1","kind":"insert","data":{"type":"resync","from":"u","seq":9,"t":"\ud83d"},"timestamp":"1Z"}`, "change", 5},
		{`{"seq":4,"entity":"T","row_id":"1","kind":"update"}`, "change", 4},
		{`{"type":"resync","oldest_seq":1,"seq":0}`, "resync", 0},
		{`{"type":"resync","oldest_seq":1,"seq":7,"complete":false}`, "resync", 7},
		{`{"type":"gap","from":1,"to":2}`, "gap", 0},
		{`{"type":"gap","from":"u","to":2}`, "", 0},
		{`{"type":"topic","topic":"a","data":1,"from":"u"}`, "topic", 0},
		{`{"type":"topic","x":"\ud83d","from":"u"}`, "topic", 0},
		{`{"type":"presence","event":"disconnect","clientId":1}`, "presence", 0},
		{`{"type":"pong"}`, "pong", 0},
		{`not JSON`, "", 0},
		{`{"type":"presence","seq":5,"entity":"T","row_id":"1","kind":"delete"}`, "presence", 0},
		{`{"Type":"resync","oldest_seq":1,"seq":6}`, "", 0},
		{`{"type":"topic","Type":"resync","oldest_seq":1,"seq":6,"from":"u"}`, "topic", 0},
		{`{"type":"presence","Type":null,"seq":6,"entity":"T","row_id":"1","kind":"delete","from":"u"}`, "presence", 0},
		{`{"type":"presence","type":"resync","oldest_seq":1,"seq":6}`, "", 0},
		{`{"type":"resync","oldest_seq":1,"seq":6,"from":"u"}`, "", 0},
		{`{"type":"change","seq":6,"entity":"T","row_id":"1","kind":"delete"}`, "", 0},
		{`{"type":null,"seq":6,"entity":"T","row_id":"1","kind":"delete"}`, "", 0},
		{`{"seq":6,"entity":"T","row_id":"1","kind":"delete","from":null}`, "", 0},
		{`{"seq":5,"seq":6,"entity":"T","row_id":"1","kind":"delete"}`, "", 0},
		{`{"SEQ":6,"entity":"T","row_id":"1","kind":"delete"}`, "", 0},
		{`{"seq":6,"Entity":"T","row_id":"1","kind":"delete"}`, "", 0},
		{`{"seq":6,"entity":"T","row_id":"1","kind":"connect"}`, "", 0},
		{`{"seq":null,"entity":"T","row_id":"1","kind":"delete"}`, "", 0},
		{`{"seq":6.0,"entity":"T","row_id":"1","kind":"delete"}`, "", 0},
		{`{"seq":18446744073709551616,"entity":"T","row_id":"1","kind":"delete"}`, "", 0},
		{`{"seq":6,"entity":"T","row_id":"1","kind":"delete"}{}`, "", 0},
		{`{"type":"resync","seq":0}`, "", 0},
	} {
		m := parse(websocket.MessageText, []byte(c.message))
		seq := m.seq
		if m.Change != nil {
			seq = m.Change.Seq
		}
		if m.Type != c.is || seq != c.seq || (m.Change != nil) != (c.is == "change") {
			t.Errorf("%s is %q with %d, want %q with %d", c.message, m.Type, seq, c.is, c.seq)
		}
	}
	if m := parse(websocket.MessageText, []byte(`{"type":"resync","oldest_seq":1,"seq":7,"complete":false}`)); m.complete {
		t.Error("it is complete")
	}
}

func TestParseRow(t *testing.T) {
	for frame, want := range map[string]*Row{
		"\x10\x00\x01E\x00\x02idmilk": {"E", "id", true, []byte("milk")},
		"\x11\x00\x01E\x00\x00":       {"E", "", false, nil},
		"":                            nil, "\x10": nil, "\x10\x00\x02E": nil, "\x10\x00\x01E\x00": nil, "\x12\x00\x01E\x00\x00": nil,
	} {
		m := parse(websocket.MessageBinary, []byte(frame))
		if !m.Binary || (m.Row == nil) != (want == nil) || (m.Type == "row") != (want != nil) {
			t.Fatalf("%q is %+v", frame, m)
		}
		if want != nil && (m.Row.Entity != want.Entity || m.Row.RowID != want.RowID || m.Row.Snapshot != want.Snapshot || string(m.Row.Payload) != string(want.Payload)) {
			t.Errorf("%q is %+v", frame, m.Row)
		}
	}
}

// docs/protocol.md section 3: what a draining server suggests is kept to; other waits grow, and are spread over all of them.
func TestBackoff(t *testing.T) {
	b := backoff{min: time.Second, max: 30 * time.Second}
	broke := errors.New("broken")
	for n, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		if got := b.next(broke, time.Second, 1); got != want*time.Second {
			t.Errorf("wait %d is at most %s", n, got)
		}
	}
	if got := b.next(broke, time.Second, 0.1); got != 3*time.Second {
		t.Errorf("with a chance of a tenth: %s", got)
	}
	for range 100 {
		b.next(broke, 0, 1)
	}
	for reason, want := range map[string]time.Duration{
		"reconnect-after=2.4s": 2400 * time.Millisecond, "reconnect-after=0.0s": 0, "reconnect-after=999999s": time.Hour,
	} {
		if got := b.next(&CloseError{websocket.StatusServiceRestart, reason}, time.Minute, 1); got != want {
			t.Errorf("%s: %s", reason, got)
		}
	}
	if got := b.next(broke, 0, 1); got != time.Second {
		t.Errorf("after a drain: %s", got)
	}
	// A server that says it of each connection at once is a failing one, too.
	b.attempt = 0
	for n, want := range []time.Duration{500, 1000, 2000, 4000} {
		if got := b.next(&CloseError{websocket.StatusServiceRestart, "reconnect-after=0.0s"}, time.Second, 0.5); got != want*time.Millisecond {
			t.Errorf("told to come at once, wait %d is %s", n, got)
		}
	}
	if got := b.next(&CloseError{websocket.StatusServiceRestart, "reconnect-after=9s"}, time.Second, 0.5); got != 9*time.Second {
		t.Errorf("told more than its own wait: %s", got)
	}
	b.attempt = 0
	for _, e := range []error{
		&CloseError{websocket.StatusServiceRestart, "say reconnect-after=9s"}, &CloseError{websocket.StatusServiceRestart, ""},
		&CloseError{websocket.StatusGoingAway, "reconnect-after=9s"}, &StatusError{503, 0},
	} {
		if b.next(e, 0, 0) != 0 {
			t.Errorf("%v isn't waited for by chance", e)
		}
	}
	if got := b.next(&StatusError{503, 7 * time.Second}, 0, 0.5); got != 7500*time.Millisecond {
		t.Errorf("with Retry-After: %s", got)
	}
	if b.next(broke, time.Minute, 1) != time.Second {
		t.Error("a connection that lasted doesn't have the waits begin anew")
	}
}
