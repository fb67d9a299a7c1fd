package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	nats "github.com/nats-io/nats-server/v2/server"
	client "github.com/nats-io/nats.go"

	"github.com/busbar-ws/busbar/hub/auth"
	"github.com/busbar-ws/busbar/internal/wstest"
)

// docs/cluster.md: sessions are the nodes' together. What is revoked at one closes at all; while NATS is away those
// who are connected stay, and nobody can say what an unknown token is worth.
func TestSessionsOfNodes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	address, stop := startNATS(t, dir, wstest.FreePort(t))
	a, b := startOnNATS(t, address, 1), startOnNATS(t, address, 2)
	byToken, byID, kept, later := a.session("alice"), b.session("alice"), a.session("bob"), b.session("eve")
	stays := a.connect(kept)
	for _, name := range []string{byToken, byID} {
		onA, onB := a.connect(name), b.connect(name)
		if name == byID {
			name = auth.SessionID(byID)
		}
		began := time.Now()
		b.adminCall("DELETE", "/v1/sessions/"+name, "", nil)
		for _, c := range []*goClient{onB, onA} {
			if reason := waitClose(t, c, 1008); reason != "session revoked" {
				t.Errorf("closed with %q", reason)
			}
		}
		t.Logf("closed on both nodes after %v", time.Since(began))
	}
	for _, d := range []*daemon{a, b} {
		waitClose(t, startGoClient(t, d.url(""), byToken, "header"), 1008)
		if r := d.call("DELETE", "/v1/sessions/"+byToken, d.admin, ""); r.status != 404 {
			t.Errorf("revoked twice: %d %s", r.status, r.body)
		}
	}
	b.stop()
	again := startOnNATS(t, address, 2)
	again.connect(kept)
	wantNowhere(t, dir, kept)

	stop()
	again.wantReady(503, "DEGRADED")
	waitClose(t, startGoClient(t, again.url(""), later, "header"), 1013)
	for _, call := range [][3]string{{"POST", "/v1/sessions", `{"user_id":"u"}`}, {"DELETE", "/v1/sessions/" + kept, ""}} {
		if r := a.call(call[0], call[1], a.admin, call[2]); r.status != 503 || !strings.Contains(r.body, "SESSIONS_UNAVAILABLE") {
			t.Errorf("%s without NATS: %d %s", call[0], r.status, r.body)
		}
	}
	a.adminCall("POST", "/v1/presence", `{"type":"presence","still":"here"}`, nil)
	waitType(stays, "presence")
	startNATS(t, dir, portNumber(address))
	again.wantReady(200, "ready")
	again.connect(later)
	again.adminCall("DELETE", "/v1/sessions/"+kept, "", nil)
	waitClose(t, stays, 1008)
}

// docs/cluster.md: busbar session works on the nodes' sessions, over the API of any.
func TestSessionCommandsOfNodes(t *testing.T) {
	t.Parallel()
	address, stop := startNATS(t, t.TempDir(), nats.RANDOM_PORT)
	a, b := startOnNATS(t, address, 1), startOnNATS(t, address, 2)
	runCommand("", nil, "session", "list", "-data", b.dir, "-api", b.api).want(t, exitOK, "no sessions in "+b.api)
	token := strings.TrimSuffix(a.cli("", "session", "create", "-user", "alice", "-tenant", "acme", "-ttl", "90m", "-api", a.api), "\n")
	id := auth.SessionID(token)
	onA, onB := a.connect(token), b.connect(token)
	var listed auth.Session
	if err := json.Unmarshal([]byte(b.cli("", "session", "list", "-json", "-api", b.api)), &listed); err != nil {
		t.Fatal(err)
	}
	if listed.ID != id || listed.UserID != "alice" || listed.Tenant != "acme" || listed.Expires.Sub(listed.Created).Round(time.Minute) != 90*time.Minute {
		t.Errorf("listed as %+v", listed)
	}
	if table := b.cli("", "session", "list", "-api", b.api); !strings.Contains(table, id+"  alice ") {
		t.Errorf("the table is\n%s", table)
	}
	b.cli(token, "session", "revoke", "-", "-api", b.api)
	for _, c := range []*goClient{onA, onB} {
		waitClose(t, c, 1008)
	}
	asNode := func(args ...string) commandOutcome { // in a node's environment, as of a container
		return runCommand("", []string{"BUSBAR_LOG=nats", "BUSBAR_DATA=" + a.dir, "BUSBAR_API=" + a.api}, append([]string{"session"}, args...)...)
	}
	asNode("revoke", id).want(t, exitFailure, "NOT_FOUND")
	for ttl, ends := range map[string]bool{"0": false, "1ns": true} {
		made := asNode("create", "-user", "bob", "-ttl", ttl)
		made.want(t, exitOK)
		id := auth.SessionID(strings.TrimSuffix(made.out, "\n"))
		if list := asNode("list").out; !strings.Contains(list, id) || strings.Contains(list, "never") == ends {
			t.Errorf("with -ttl %s:\n%s", ttl, list)
		}
		asNode("revoke", id[:8]).want(t, exitOK)
	}
	asNode("create", "-user", "admin").want(t, exitFailure, "INVALID_FIELD", "reserved")
	if _, err := os.Stat(filepath.Join(a.dir, "busbar.db")); err == nil {
		t.Error("a session went into the data directory")
	}
	stop()
	asNode("create", "-user", "carol").want(t, exitFailure, "SESSIONS_UNAVAILABLE")
	asNode("list").want(t, exitFailure, "SESSIONS_UNAVAILABLE")
}

// docs/cluster.md: calls that act on clients may be sent to any node, and what can't reach other nodes' clients is
// refused. A node that finds its number taken ends.
func TestControlOfNodes(t *testing.T) {
	t.Parallel()
	address, _ := startNATS(t, t.TempDir(), nats.RANDOM_PORT)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "snapshot") }))
	defer service.Close()
	a, b := startOnNATS(t, address, 1, "-rows-url", service.URL), startOnNATS(t, address, 2, "-rows-url", service.URL)
	alice := a.connect(a.session("alice"))
	alice.send(`{"type":"crdt-subscribe","entity":"E","rowId":"r"}`)
	alice.waitEvent(soon, "binary")
	update := func() {
		b.adminCall("PUT", "/v1/rows/E/r?update=1", "update", nil)
		b.adminCall("POST", "/v1/presence", `{"type":"presence"}`, nil) // behind it
	}
	update()
	alice.waitEvent(soon, "binary")
	waitType(alice, "presence")
	b.adminCall("DELETE", "/v1/rows/E/r/subscribers/alice", "", nil)
	update()
	if e := alice.wait(soon, "message", func(clientEvent) bool { return true }); e.Event != "text" {
		t.Errorf("got %+v, though the subscription was ended at the other node", e)
	}
	if r := b.call("POST", "/v1/broadcast", b.admin, strings.Repeat("x", 1<<20)); r.status != 413 || !strings.Contains(r.body, "other nodes") {
		t.Errorf("a message that NATS doesn't take: %d %s", r.status, r.body)
	}
	var page struct{ Clients []struct{ ID uint64 } }
	b.adminCall("GET", "/v1/clients", "", &page)
	if len(page.Clients) != 0 {
		t.Errorf("the other node lists %v", page.Clients)
	}
	a.adminCall("GET", "/v1/clients", "", &page)
	path := fmt.Sprint("/v1/clients/", page.Clients[0].ID)
	b.adminCall("DELETE", path, "", nil)
	waitClose(t, alice, 1008)
	if r := b.call("DELETE", path, b.admin, ""); r.status != 404 {
		t.Errorf("nobody is disconnected: %d %s", r.status, r.body)
	}

	conn, err := client.Connect("nats://busbar:" + natsPassword + "@" + address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// As of a node with the number 2 that began before.
	if _, err := conn.Subscribe("busbar.node.2", func(m *client.Msg) { _ = m.Respond([]byte(`{"Since":1,"Name":"older"}`)) }); err != nil {
		t.Fatal(err)
	}
	b.waitExit()
	if log := b.transcript(); b.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(log, "another node of busbar has the number 2") {
		t.Errorf("it ended with %d, and says %s", b.cmd.ProcessState.ExitCode(), log)
	}
	if r := a.call("DELETE", "/v1/rows/E/r/subscribers/alice", a.admin, ""); r.status != 503 || !strings.Contains(r.body, "NODES_UNREACHABLE") {
		t.Errorf("with a node that doesn't understand: %d %s", r.status, r.body)
	}
}

func portNumber(address string) (number int) {
	_, port, _ := net.SplitHostPort(address)
	_, _ = fmt.Sscan(port, &number)
	return number
}

// wantNowhere fails if a secret is in a file below dir.
func wantNowhere(t *testing.T, dir, secret string) {
	t.Helper()
	found := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte(secret)) {
			t.Errorf("%s holds a secret", path)
		}
		found += len(content)
		return err
	})
	if err != nil || found == 0 {
		t.Errorf("%d bytes read: %v", found, err)
	}
}
