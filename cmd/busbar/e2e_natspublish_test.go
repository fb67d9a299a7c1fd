package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// natsPublisher is a backend that publishes by requests. It is safe from any goroutine.
type natsPublisher struct {
	t    *testing.T
	conn *nats.Conn
}

func newNATSPublisher(t *testing.T, address string) natsPublisher {
	t.Helper()
	conn, err := nats.Connect("nats://"+address, nats.UserInfo("busbar", natsPassword))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return natsPublisher{t, conn}
}

// request is an answer's status and body; headers are names and values.
func (p natsPublisher) request(body string, headers ...string) (status, text string) {
	p.t.Helper()
	m := nats.NewMsg("busbar.publish")
	m.Data = []byte(body)
	for i := 0; i < len(headers); i += 2 {
		m.Header.Set(headers[i], headers[i+1])
	}
	answer, err := p.conn.RequestMsg(m, soon)
	if err != nil {
		p.t.Errorf("%s: %v", body, err)
		return "", ""
	}
	return answer.Header.Get("Busbar-Status"), string(answer.Data)
}

// docs/cluster.md: what backends publish by NATS requests is checked, stored, answered and delivered as over HTTP.
func TestPublishingByNATSRequests(t *testing.T) {
	t.Parallel()
	address, _ := startNATS(t, t.TempDir(), natsserver.RANDOM_PORT)
	a := startOnNATS(t, address, 1, "-nats-publish", "-max-message-out", "64KiB")
	b := startOnNATS(t, address, 2, "-nats-publish", "-max-message-out", "64KiB")
	p := newNATSPublisher(t, address)
	clients := []*goClient{a.connect(a.session("alice")), b.connect(b.session("bob"))}

	const change = `{"entity":"Todo","row_id":"1","kind":"update","op_id":"once"}`
	status, text := p.request(change)
	var first struct{ Seq uint64 }
	if err := json.Unmarshal([]byte(text), &first); status != "200" || err != nil || first.Seq == 0 {
		t.Fatalf("%s %s", status, text)
	}
	for range 4 { // whichever node has it
		if again, same := p.request(change); again != "200" || same != text {
			t.Errorf("again: %s %s, want %s", again, same, text)
		}
	}
	const line = `{"entity":"Todo","row_id":"2","kind":"delete"}` + "\n"
	if status, text := p.request(line+line, "Content-Type", "application/x-ndjson"); status != "200" || text != fmt.Sprintf(`{"first_seq":%d,"last_seq":%d,"count":2}`+"\n", first.Seq+1, first.Seq+2) {
		t.Errorf("NDJSON: %s %s", status, text)
	}
	for _, c := range clients {
		for seq := first.Seq; seq <= first.Seq+2; seq++ {
			if m := waitChange(c); m.Seq != seq {
				t.Errorf("got %d, want %d", m.Seq, seq)
			}
		}
	}
	if status, _ := p.request(`{"type":"presence"}`, "Busbar-Call", "POST /v1/presence"); status != "204" {
		t.Errorf("presence: %s", status)
	}
	waitType(clients[0], "presence")
	waitType(clients[1], "presence")
	for _, wrong := range []struct{ call, body, status, want string }{
		{"POST /v1/changes", `{"entity":1}`, "400", "INVALID_FIELD"},
		{"POST /v1/changes", `{"entity":"E","row_id":"1","kind":"update","data":"` + strings.Repeat("x", 65<<10) + `"}`, "413", "TOO_LARGE"},
		{"POST /v1/changes?x=1", change, "400", "INVALID_FIELD"},
		{"PUT /v1/changes", change, "405", "METHOD_NOT_ALLOWED"},
		{"GET /v1/clients", "", "401", "UNAUTHORIZED"},
		{"POST /v1/sessions", `{"user_id":"u"}`, "401", "UNAUTHORIZED"},
		{"GET /metrics", "", "400", "Busbar-Call"},
		{"nonsense", "", "400", "Busbar-Call"},
		{"POST /v1/%zz", "", "400", "Busbar-Call"},
	} {
		if status, text := p.request(wrong.body, "Busbar-Call", wrong.call); status != wrong.status || !strings.Contains(text, wrong.want) {
			t.Errorf("%s: %s %s, want %s %s", wrong.call, status, text, wrong.status, wrong.want)
		}
	}

	// A node that ends answers what it has taken, and leaves the rest to the other.
	var publishers sync.WaitGroup
	for i := range 8 {
		publishers.Go(func() {
			for j := range 50 {
				if status, text := p.request(fmt.Sprintf(`{"entity":"Todo","row_id":"%d/%d","kind":"update"}`, i, j)); status != "200" {
					t.Errorf("%s %s", status, text)
				}
			}
		})
	}
	a.stop()
	publishers.Wait()
	if got := len(b.pull(first.Seq + 2)); got != 400 {
		t.Errorf("%d events, want 400", got)
	}
}

// docs/cluster.md: while NATS has no room its publishers are told so, and it goes on by itself.
func TestNATSWithoutRoom(t *testing.T) {
	t.Parallel()
	address, _ := startNATSWith(t, &natsserver.Options{
		Port: natsserver.RANDOM_PORT, Username: "busbar", Password: natsPassword, StoreDir: t.TempDir(), JetStreamMaxStore: 16 << 20,
	})
	if _, log, code := (launch{
		args: []string{"-log", "nats", "-nats-replicas", "1", "-data", t.TempDir(), "-listen", "127.0.0.1:0", "-api", "127.0.0.1:0"},
		env:  []string{"BUSBAR_NATS=nats://busbar:" + natsPassword + "@" + address},
	}).run(t); code != exitFailure || !strings.Contains(log, "insufficient storage") {
		t.Errorf("a log that is larger than NATS may store: %d, %s", code, log)
	}
	d := startOnNATS(t, address, 1, "-log-bytes", "4MiB")
	first := d.publish("1")
	js, err := newNATSPublisher(t, address).conn.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.AddStream(&nats.StreamConfig{Name: "others", Subjects: []string{"others"}}); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = js.Publish("others", make([]byte, 512<<10))
	}
	const change = `{"entity":"Todo","row_id":"2","kind":"delete","op_id":"2"}` + "\n"
	const changes = `{"entity":"Todo","row_id":"3","kind":"delete"}` + "\n" + `{"entity":"Todo","row_id":"4","kind":"delete"}` + "\n"
	for body, kind := range map[string]string{change: "application/json", changes: "application/x-ndjson"} {
		if r := d.call("POST", "/v1/changes", d.admin, body, "Content-Type", kind); r.status != 507 || !strings.Contains(r.body, "LOG_FULL") {
			t.Errorf("%s: %d %s", body, r.status, r.body)
		}
	}
	if r := d.call("POST", "/v1/sessions", d.admin, `{"user_id":"u"}`); r.status != 507 || !strings.Contains(r.body, "SESSIONS_FULL") {
		t.Errorf("a session: %d %s", r.status, r.body)
	}
	if err := js.DeleteStream("others"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "there is room again", func() bool { return d.call("POST", "/v1/changes", d.admin, change).status == 200 })
	if events := d.pull(first); len(events) != 1 {
		t.Errorf("%d events, want one", len(events))
	}
}
