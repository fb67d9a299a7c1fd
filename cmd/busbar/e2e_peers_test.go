package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// forEachPeer runs the test with every kind of client that Busbar is meant for and did not write.
func forEachPeer(t *testing.T, d *daemon, test func(t *testing.T, start func(query, token, way string) peer)) {
	for name, start := range peers {
		t.Run(name, func(t *testing.T) {
			test(t, func(query, token, way string) peer { return start(t, d.url(query), token, way) })
		})
	}
}

// docs/protocol.md section 1: a token comes by header or by subprotocol, and that is echoed. docs/protocol.md section 3 and 5: what is
// published over HTTP reaches every client.
func TestPeersSignInBothWaysAndReceive(t *testing.T) {
	d := commonDaemon(t)
	forEachPeer(t, d, func(t *testing.T, start func(query, token, way string) peer) {
		token := d.session("alice")
		byHeader, byProtocol := start("", token, "header"), start("", token, "subprotocol")
		if got := byHeader.waitEvent(soon, "open").Protocol; got != "" {
			t.Errorf("signed in by header, but subprotocol %q was chosen", got)
		}
		if got := byProtocol.waitEvent(soon, "open").Protocol; got != bearerProtocol(token) {
			t.Errorf("subprotocol %q, want the one offered, %q", got, bearerProtocol(token))
		}
		seq := d.publish("t_1")
		for _, c := range []peer{byHeader, byProtocol} {
			m := waitChange(c)
			if m.Seq != seq || m.Entity != "Todo" || m.RowID != "t_1" || m.Kind != "insert" ||
				string(m.Data) != `{"title":"milk"}` || !strings.HasSuffix(m.Timestamp, "Z") {
				t.Errorf("change event %+v", m)
			}
		}
	})
}

// docs/protocol.md section 2: presence reaches everyone, the sender too, and says who it is from whatever the sender wrote.
func TestPeersCannotForgeTheSender(t *testing.T) {
	d := commonDaemon(t)
	other := d.connect(d.session("observer"))
	forEachPeer(t, d, func(t *testing.T, start func(query, token, way string) peer) {
		c := start("", d.session("alice"), "subprotocol")
		c.waitEvent(soon, "open")
		c.send(`{"from":"admin","type":"presence","event":"cursor","fr\u006fm":"bob","x":[1,{"from":"inner"}],"From":"bob","from":"mallory"}`)
		for _, receiver := range []peer{c, other} {
			e := receiver.wait(soon, "presence", func(e clientEvent) bool { return parse(e).Event == "cursor" })
			if parse(e).From != "alice" || strings.Count(e.Data, `"from"`) != 2 || strings.Contains(e.Data, "bob") ||
				strings.Contains(e.Data, "mallory") || !strings.Contains(e.Data, `"x":[1,{"from":"inner"}]`) {
				t.Errorf("relayed as %s", e.Data)
			}
		}
	})
}

// docs/protocol.md section 2: subscribing to a row gives its snapshot, then its updates; a row that isn't there gives nothing.
func TestPeersFollowARow(t *testing.T) {
	d := commonDaemon(t)
	d.adminCall("PUT", "/v1/rows/Doc/d_1", "\x00one", nil)
	forEachPeer(t, d, func(t *testing.T, start func(query, token, way string) peer) {
		c := start("", d.session("alice"), "header")
		c.waitEvent(soon, "open")
		c.send(`{"type":"crdt-subscribe","entity":"Doc","rowId":"nowhere"}`)
		c.send(`{"type":"crdt-subscribe","entity":"Doc","row_id":"d_1"}`)
		wantFrame(t, c, 0x10, "Doc", "d_1", "\x00one")
		d.adminCall("PUT", "/v1/rows/Doc/d_1?update=1", "\xfftwo", nil)
		wantFrame(t, c, 0x11, "Doc", "d_1", "\xfftwo")
		c.send(`{"type":"crdt-unsubscribe","entity":"Doc","rowId":"d_1"}`)
		c.send(`{"type":"topic","topic":"t","data":1}`)
		waitType(c, "topic") // by now the server has read the message before it
		d.adminCall("PUT", "/v1/rows/Doc/d_1?update=1", "three", nil)
		seq := d.publish("t_1")
		c.wait(soon, "change event", func(e clientEvent) bool {
			if e.Event == "binary" {
				t.Errorf("after unsubscribing: %q", e.Base64)
			}
			return parse(e).Seq == seq
		})
	})
}

// docs/protocol.md section 1: the reason for a refusal can be read by the client, and nothing is sent to it before that.
func TestPeersSeeWhyTheyAreRefused(t *testing.T) {
	d := commonDaemon(t)
	forEachPeer(t, d, func(t *testing.T, start func(query, token, way string) peer) {
		for _, test := range []struct{ token, way string }{
			{"", "header"}, {"unknown", "header"}, {"unknown", "subprotocol"},
		} {
			c := start("", test.token, test.way)
			e := c.wait(soon, "close", func(e clientEvent) bool {
				if e.Event == "text" || e.Event == "binary" {
					t.Errorf("before it was refused, the client got %+v", e)
				}
				return e.Event == "close"
			})
			want := "unauthorized: token invalid or expired"
			if test.token == "" {
				want = "unauthorized: bearer token required"
			}
			if e.Code != 1008 || e.Reason != want {
				t.Errorf("token %q by %s: closed with %d %q", test.token, test.way, e.Code, e.Reason)
			}
		}
	})
}

// docs/protocol.md section 1, since: who comes back gets what it missed, and what follows, without gap or repeat.
func TestPeersComeBackWithoutLoss(t *testing.T) {
	d := commonDaemon(t)
	forEachPeer(t, d, func(t *testing.T, start func(query, token, way string) peer) {
		token := d.session("alice")
		c := start("", token, "subprotocol")
		c.waitEvent(soon, "open")
		last := d.publish("t_1")
		if m := waitChange(c); m.Seq != last {
			t.Fatalf("seq %d, want %d", m.Seq, last)
		}
		c.terminate()
		c.waitEvent(soon, "close")
		d.publishMany(700) // more than the server reads from its log at once
		c = start(fmt.Sprintf("?since=%d", last), token, "subprotocol")
		c.waitEvent(soon, "open")
		d.publishMany(5)
		for want := last + 1; want <= last+705; want++ {
			if m := waitChange(c); m.Seq != want {
				t.Fatalf("after coming back: seq %d, want %d", m.Seq, want)
			}
		}
	})
}

// publishMany publishes n changes as NDJSON in one call.
func (d *daemon) publishMany(n int) (first uint64) {
	d.t.Helper()
	line := `{"entity":"Todo","row_id":"t_1","kind":"update","data":{"title":"bread"}}` + "\n"
	r := d.call("POST", "/v1/changes", d.admin, strings.Repeat(line, n), "Content-Type", "application/x-ndjson")
	if r.status != 200 {
		d.t.Fatalf("publishing %d changes: %d %s", n, r.status, r.body)
	}
	var answer struct {
		FirstSeq uint64 `json:"first_seq"`
	}
	if err := json.Unmarshal([]byte(r.body), &answer); err != nil {
		d.t.Fatal(err)
	}
	return answer.FirstSeq
}

// docs/protocol.md section 1, -reject=http: clients that can read an HTTP status are refused with one.
func TestPeersSeeStatus401(t *testing.T) {
	d := startDaemon(t, "-reject", "http")
	forEachPeer(t, d, func(t *testing.T, start func(query, token, way string) peer) {
		if e := start("", "unknown", "header").waitEvent(soon, "error"); e.Status != 401 {
			t.Errorf("refused with %+v", e)
		}
	})
}
