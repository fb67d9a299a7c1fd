package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/hub"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// why is the verdict of busbar why, with the rest of its line and what stands below.
func (d *daemon) why(client, seq uint64) (verdict, detail string) {
	d.t.Helper()
	out := d.cli("", "why", "-api", d.api, "-data", d.dir, "-client", fmt.Sprint(client), "-seq", fmt.Sprint(seq))
	verdict, detail, _ = strings.Cut(out, ": ")
	return verdict, detail
}

// clientOf is the id of a user's only connection.
func (d *daemon) clientOf(user string) (id uint64) {
	d.t.Helper()
	var list struct {
		Clients []hub.ClientInfo
		Next    *uint64
	}
	eventually(d.t, user+" is there", func() bool {
		d.adminCall("GET", "/v1/clients", "", &list)
		for _, c := range list.Clients {
			if c.UserID == user {
				id = c.ID
			}
		}
		return id != 0
	})
	return id
}

// docs/protocol.md section 7, busbar why: a client that didn't read is dropped. Of each event since the start the server
// says what became of it for that client and for others: the ones before it came and after it went, those for somebody
// else, those that it had read, and the first that it hadn't to the last that was kept for it, with cause and time.
// -metrics is read along, without a token.
func TestWhyAClientDidNotGetAnEvent(t *testing.T) {
	t.Parallel()
	d := startDaemon(t, "-send-buffer", "8KiB", "-lag-bytes", "64KiB", "-lag-time", "1h", "-loops", "1", "-metrics", "127.0.0.1:0")
	early := d.publish("early")
	healthy := d.connect(d.session("healthy"))
	stuck, err := wstest.DialRaw(t, "", d.ws, wstest.SmallWindow)
	if err != nil {
		t.Fatal(err)
	}
	if err := stuck.Upgrade("/", "Authorization: Bearer "+d.session("stuck")); err != nil {
		t.Fatal(err)
	}
	id, other := d.clientOf("stuck"), d.clientOf("healthy")
	// Until the clock of the loops has gone on an event may have come together with the client.
	var first uint64
	eventually(t, "an event comes behind the client", func() bool {
		first = d.publish("first")
		verdict, _ := d.why(id, first)
		return verdict == "sent"
	})
	var forOther struct{ Seq uint64 }
	d.adminCall("POST", "/v1/changes", `{"entity":"E","row_id":"r","kind":"update","audience":{"users":["healthy"]}}`, &forOther)
	last := uint64(0)
	for d.metric("busbar_clients") == 2 {
		var change struct{ Seq uint64 }
		d.adminCall("POST", "/v1/changes", fmt.Sprintf(`{"entity":"E","row_id":"r","kind":"update","data":%q}`, strings.Repeat("x", 16<<10)), &change)
		if last = change.Seq; last > first+1000 {
			t.Fatalf("the client that doesn't read is still there\n%s", d.transcript())
		}
	}
	late := d.publish("late")
	read := uint64(0) // what was on its way when it was dropped
	for {
		f, err := stuck.Next()
		if err != nil || f.Header.OpCode == ws.OpClose {
			break
		}
		if n := regexp.MustCompile(`"seq":(\d+)`).FindSubmatch(f.Payload); n != nil {
			_, _ = fmt.Sscan(string(n[1]), &read)
		}
	}
	stuck.Close()
	eventually(t, "its connection has ended", func() bool { return d.metric("busbar_connections") == 1 })
	for _, c := range []struct {
		client, seq uint64
		want        string
	}{
		{id, early, "connected_later"}, {id, first, "sent"}, {id, forOther.Seq, "not_in_audience"}, {id, read, "sent"},
		{id, read + 1, "lost"}, {id, last - 1, "lost"}, {id, late, "gone"}, {id, late + 1, "not_published"},
		{other, early, "connected_later"}, {other, forOther.Seq, "sent"}, {other, read + 1, "sent"}, {other, late, "sent"},
	} {
		verdict, detail := d.why(c.client, c.seq)
		if verdict != c.want {
			t.Errorf("client %d, event %d (%d to %d, read %d): %s, want %s: %s", c.client, c.seq, first, late, read, verdict, c.want, detail)
		}
		if c.want == "lost" && (!strings.Contains(detail, "cause      slow") || !strings.Contains(detail, `user "stuck"`)) {
			t.Errorf("lost, and no cause: %s", detail)
		}
	}
	if r := d.call("GET", "/v1/why?client=1&seq=1", d.admin, ""); r.status != 404 {
		t.Errorf("a client that never was: %d %s", r.status, r.body)
	}
	if r := d.call("GET", fmt.Sprintf("/v1/why?client=%d&seq=1", uint64(7)<<45|id), d.admin, ""); r.status != 409 || !strings.Contains(string(r.body), "OTHER_NODE") {
		t.Errorf("another node's client: %d %s", r.status, r.body)
	}
	healthy.CloseNow()

	metrics := regexp.MustCompile(`Metrics +http://(\S+)/metrics  \(asks nobody for a token\)\n`).FindStringSubmatch(d.out.String())
	if metrics == nil {
		t.Fatalf("no address of -metrics\n%s", d.transcript())
	}
	for path, status := range map[string]int{"/metrics": 200, "/healthz": 200, "/readyz": 200, "/v1/stats": 404} {
		if r, err := d.tryCallAt(metrics[1], "GET", path, "", ""); err != nil || r.status != status {
			t.Errorf("%s of -metrics: %v, %d", path, err, r.status)
		}
	}
}
