package main

import (
	"fmt"
	"strings"
	"testing"

	nats "github.com/nats-io/nats-server/v2/server"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// startNATS runs a NATS server that asks for a password, until stop is called or the test ends.
func startNATS(t *testing.T, dir string, port int) (address string, stop func()) {
	t.Helper()
	return startNATSWith(t, &nats.Options{
		Port: port, Username: "busbar", Password: natsPassword, StoreDir: dir, JetStreamMaxStore: 4 << 30,
	})
}

func startNATSWith(t *testing.T, o *nats.Options) (address string, stop func()) {
	t.Helper()
	o.Host, o.NoSigs, o.NoLog, o.JetStream = "127.0.0.1", true, true, true
	s, err := nats.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	stop = func() {
		s.Shutdown()
		s.WaitForShutdown()
	}
	t.Cleanup(stop)
	if !s.ReadyForConnections(soon) {
		t.Fatal("NATS doesn't start")
	}
	return s.Addr().String(), stop
}

const natsPassword = "nats-p4ssw0rd"

func startOnNATS(t *testing.T, address string, node int, args ...string) *daemon {
	t.Helper()
	d := prepareOnNATS(t, address, node, args...)
	d.run()
	return d
}

// prepareOnNATS is startOnNATS without starting it.
func prepareOnNATS(t *testing.T, address string, node int, args ...string) *daemon {
	t.Helper()
	d := launch{
		args: append([]string{"-log", "nats", "-nats-replicas", "1", "-nats-timeout", "5s", "-node", fmt.Sprint(node)}, args...),
		env:  []string{"BUSBAR_NATS=nats://busbar:" + natsPassword + "@" + address},
	}.prepare(t)
	d.secret = append(d.secret, natsPassword)
	return d
}

func (d *daemon) wantReady(status int, code string) {
	d.t.Helper()
	eventually(d.t, fmt.Sprintf("/readyz answers %d", status), func() bool {
		r := d.call("GET", "/readyz", "", "")
		return r.status == status && strings.Contains(r.body, code)
	})
}

func (d *daemon) wantStats(parts ...string) {
	d.t.Helper()
	stats := d.call("GET", "/v1/stats", d.admin, "").body
	for _, part := range parts {
		if !strings.Contains(stats, part) {
			d.t.Errorf("/v1/stats has no %s:\n%.500s", part, stats)
		}
	}
}

// docs/cluster.md: nodes on one NATS are one server to clients and publishers. Losing a node costs its clients a
// reconnect, and losing NATS costs nobody a connection.
func TestNodesOnOneNATS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	address, stop := startNATS(t, dir, wstest.FreePort(t))
	a, b := startOnNATS(t, address, 1), startOnNATS(t, address, 2)
	onA, onB := a.connect(a.session("alice")), b.connect(b.session("bob"))
	first := a.publish("t_1")
	for _, c := range []*goClient{onA, onB} {
		if m := waitChange(c); m.Seq != first {
			t.Errorf("got %d, want %d", m.Seq, first)
		}
	}
	a.adminCall("POST", "/v1/presence", `{"type":"presence","status":"here"}`, nil)
	waitType(onB, "presence")
	for path, body := range map[string]string{
		"/v1/changes":  `{"entity":"Todo","row_id":"1","kind":"update","data":"%s"}`,
		"/v1/presence": `{"type":"presence","x":"%s"}`,
	} {
		r := a.call("POST", path, a.admin, fmt.Sprintf(body, strings.Repeat("x", 1<<20)))
		if r.status != 413 || !strings.Contains(r.body, "max_payload") || !strings.Contains(r.body, " 1048576 ") || strings.Contains(r.body, "-max-message-out") {
			t.Errorf("%s of more than NATS takes: %d %s", path, r.status, r.body)
		}
	}
	if _, log, code := (launch{
		args: []string{"-log", "nats", "-node", "2", "-nats-replicas", "1", "-data", t.TempDir(), "-listen", "127.0.0.1:0", "-api", "127.0.0.1:0"},
		env:  []string{"BUSBAR_NATS=nats://busbar:" + natsPassword + "@" + address},
	}).run(t); code != 1 || !strings.Contains(log, "another node") || strings.Contains(log, natsPassword) {
		t.Errorf("a node with another's number: %d, %s", code, log)
	}
	a.crash()
	second := b.publish("t_2")
	back := startGoClient(t, b.url(fmt.Sprintf("?since=%d", first)), b.session("alice"), "header")
	for _, c := range []*goClient{back, onB} {
		if m := waitChange(c); m.Seq != second {
			t.Errorf("got %d, want %d", m.Seq, second)
		}
	}
	b.wantReady(200, "ready")
	b.wantStats(`"change_log":"nats","nats":{"state":"connected","server":"`+address+`","reconnects":`, `"ready":true`)
	stop()
	b.wantReady(503, "DEGRADED")
	b.wantStats(`"nats":{"state":"reconnecting"`, `"ready":false,"not_ready":"`)
	const change = `{"entity":"Todo","row_id":"t_3","kind":"delete","op_id":"once"}`
	if r := b.call("POST", "/v1/changes", b.admin, change); r.status != 503 || !strings.Contains(r.body, "LOG_UNAVAILABLE") {
		t.Errorf("without NATS: %d %s", r.status, r.body)
	}
	startNATS(t, dir, portNumber(address))
	b.wantReady(200, "ready")
	var third struct{ Seq uint64 }
	b.adminCall("POST", "/v1/changes", change, &third)
	for _, c := range []*goClient{back, onB} {
		if m := waitChange(c); m.Seq != third.Seq || m.Seq <= second {
			t.Errorf("got %d, want %d", m.Seq, third.Seq)
		}
	}
}

// docs/cluster.md: a row that is published at one node reaches the subscribers at another, and is there after all have
// been restarted.
func TestRowsOfNodes(t *testing.T) {
	t.Parallel()
	address, _ := startNATS(t, t.TempDir(), nats.RANDOM_PORT)
	a, b := startOnNATS(t, address, 1), startOnNATS(t, address, 2)
	onB := b.connect(b.session("bob"))
	put := func(d *daemon, query, payload string) {
		t.Helper()
		if r := d.call("PUT", "/v1/rows/Doc/d_1"+query, d.admin, payload); r.status != 204 {
			t.Fatalf("%d %s", r.status, r.body)
		}
	}
	put(a, "", "one")
	onB.send(`{"type":"crdt-subscribe","entity":"Doc","rowId":"d_1"}`)
	wantFrame(t, onB, 0x10, "Doc", "d_1", "one")
	put(a, "?update=1", "more")
	wantFrame(t, onB, 0x11, "Doc", "d_1", "more")
	large := strings.Repeat("x", 2<<20)
	put(a, "", large)
	wantFrame(t, onB, 0x10, "Doc", "d_1", large)
	onA := a.connect(a.session("alice"))
	onA.send(`{"type":"crdt-subscribe","entity":"Doc","rowId":"d_1"}`)
	wantFrame(t, onA, 0x10, "Doc", "d_1", large)
	put(a, "?tenant=acme", "acme's")                                   // which a knows before it answers
	onA.send(`{"type":"crdt-subscribe","entity":"Doc","rowId":"d_1"}`) // may not read it any more
	put(b, "", "two")
	for _, c := range []*goClient{onA, onB} {
		wantFrame(t, c, 0x10, "Doc", "d_1", "two")
	}
	for _, d := range []*daemon{a, b} {
		d.stop()
	}
	for node := 1; node <= 2; node++ {
		d := startOnNATS(t, address, node)
		c := d.connect(d.session("carol"))
		c.send(`{"type":"crdt-subscribe","entity":"Doc","rowId":"d_1"}`)
		wantFrame(t, c, 0x10, "Doc", "d_1", "two")
	}
}
