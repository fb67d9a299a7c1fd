//go:build !race && !racedaemon

package main

import (
	"fmt"
	"strings"
	"testing"
)

// sentence is text of about so many bytes, as an application's data.
func sentence(size int) string {
	var b strings.Builder
	for n := 0; b.Len() < size; n++ {
		fmt.Fprintf(&b, "item %d of a list that goes on, ", n*n)
	}
	return b.String()
}

// publishText publishes a change whose data is a long text.
func (d *daemon) publishText(text string) (seq uint64) {
	d.t.Helper()
	var answer struct{ Seq uint64 }
	d.adminCall("POST", "/v1/changes", `{"entity":"Note","row_id":"n_1","kind":"update","data":{"text":"`+text+`"}}`, &answer)
	return answer.Seq
}

// RFC 7692 with clients that we didn't write: Node's ws, Python's websockets and Chromium
// offer compression as they always do, coder/websocket doesn't. All are in the same
// broadcast, which is compressed once, and hear each other.
func TestCompressionWithAllKindsOfClients(t *testing.T) {
	t.Parallel()
	d := startDaemon(t, "-compression", "on")
	page := startBrowser(t).open(t, d.page())
	page.waitState("open")
	clients := map[string]peer{}
	for name, start := range peers {
		clients[name] = start(t, d.url(""), d.session(name), "subprotocol")
		clients[name].waitEvent(soon, "open")
	}
	if n := d.metric("busbar_clients_compressed"); n != 3 { // all but coder
		t.Errorf("%v clients with compression, want 3", n)
	}
	compressed := d.metric("busbar_messages_compressed_total")
	text := sentence(3000)
	seq := d.publishText(text)
	for name, c := range clients {
		if m := waitChange(c); m.Seq != seq || string(m.Data) != `{"text":"`+text+`"}` {
			t.Errorf("%s got seq %d, %.60s", name, m.Seq, m.Data)
		}
	}
	page.waitChanges(1)
	if n := d.metric("busbar_messages_compressed_total") - compressed; n != 1 {
		t.Errorf("one broadcast was compressed %v times", n)
	}
	before, after := d.metric("busbar_uncompressed_bytes_total"), d.metric("busbar_compressed_bytes_total")
	if after == 0 || after > before/2 {
		t.Errorf("%v bytes became %v", before, after)
	}
	for sender, c := range clients { // Node compresses from 1 KiB on, Python always
		said := sender + " says " + sentence(2000)
		c.send(`{"type":"topic","topic":"t","data":"` + said + `"}`)
		for name, other := range clients {
			if m := waitType(other, "topic"); m.From != sender || string(m.Data) != `"`+said+`"` {
				t.Errorf("%s got from %s: %.60s", name, m.From, m.Data)
			}
		}
	}
	page.fill("topic", "lobby", "topic-data", `"`+sentence(500)+`"`) // Chromium compresses what it likes to
	page.click("topic-send")
	for name, c := range clients {
		if m := waitType(c, "topic"); m.From != "demo" || string(m.Data) != `"`+sentence(500)+`"` {
			t.Errorf("%s got from the page: %.60s", name, m.Data)
		}
	}
	if n := d.metric("busbar_inflate_errors_total"); n != 0 {
		t.Errorf("%v messages couldn't be inflated", n)
	}
}

// Snapshots of rows, and what a returning client has missed, come compressed, each once for all.
func TestCompressedSnapshotsAndCatchingUp(t *testing.T) {
	d := startDaemon(t, "-compression", "on")
	payload := sentence(5000)
	d.adminCall("PUT", "/v1/rows/Doc/d_1", payload, nil)
	last := d.publish("t_1")
	watcher := peers["node"](t, d.url(""), d.session("watcher"), "header")
	watcher.waitEvent(soon, "open")
	var missed []uint64
	for range 10 {
		missed = append(missed, d.publishText(sentence(1000)))
	}
	first := d.metric("busbar_messages_compressed_total")
	for _, name := range []string{"node", "python", "coder"} {
		compressed := d.metric("busbar_messages_compressed_total")
		c := peers[name](t, d.url(fmt.Sprint("?since=", last)), d.session(name), "header")
		c.waitEvent(soon, "open")
		for _, seq := range missed {
			if m := waitChange(c); m.Seq != seq {
				t.Fatalf("%s: seq %d, want %d", name, m.Seq, seq)
			}
		}
		if n := d.metric("busbar_messages_compressed_total") - compressed; n != 0 {
			t.Errorf("%s: %v events were compressed once more", name, n)
		}
		c.send(`{"type":"crdt-subscribe","entity":"Doc","rowId":"d_1"}`)
		wantFrame(t, c, 0x10, "Doc", "d_1", payload)
	}
	// The snapshot's frame is kept while it is owed to somebody: once it is collected the next client's is made anew.
	if n := d.metric("busbar_messages_compressed_total") - first; n < 1 || n > 2 {
		t.Errorf("the row's snapshot was compressed %v times, for two clients that take it so", n)
	}
}

// RFC 7692 can't keep a client that is sent compressed messages from sending some: -compression
// out takes them up to 4 KiB, and on up to -max-message-in.
func TestCompressionOutBoundsWhatComes(t *testing.T) {
	for _, c := range []struct {
		flag    string
		refused bool
	}{{"out", true}, {"on", false}} {
		d := startDaemon(t, "-compression", c.flag)
		node := peers["node"](t, d.url(""), d.session("alice"), "header")
		node.waitEvent(soon, "open")
		fits, long := sentence(3500), sentence(5000)
		node.send(`{"type":"topic","data":"` + fits + `"}`)
		if m := waitType(node, "topic"); string(m.Data) != `"`+fits+`"` {
			t.Errorf("%s: got %.60s", c.flag, m.Data)
		}
		node.send(`{"type":"topic","data":"` + long + `"}`)
		if c.refused {
			if e := node.waitEvent(soon, "close"); e.Code != 1009 {
				t.Errorf("%s: closed with %d %q, want 1009", c.flag, e.Code, e.Reason)
			}
		} else if m := waitType(node, "topic"); string(m.Data) != `"`+long+`"` {
			t.Errorf("%s: got %.60s", c.flag, m.Data)
		}
	}
}

// Off, which is the default, nothing is negotiated.
func TestCompressionIsOffByDefault(t *testing.T) {
	d := startDaemon(t)
	node := peers["node"](t, d.url(""), d.session("alice"), "header")
	node.waitEvent(soon, "open")
	seq := d.publishText(sentence(3000))
	if m := waitChange(node); m.Seq != seq {
		t.Errorf("seq %d, want %d", m.Seq, seq)
	}
	if n, m := d.metric("busbar_clients_compressed"), d.metric("busbar_messages_compressed_total"); n != 0 || m != 0 {
		t.Errorf("%v clients with compression, %v messages compressed", n, m)
	}
}
