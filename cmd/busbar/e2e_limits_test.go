package main

import (
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// A server out of descriptors goes on serving those whom it has, and lets others in when some leave. It said at
// the start how many it can hold.
func TestDescriptorLimit(t *testing.T) {
	const descriptors = 150
	d := launch{descriptors: descriptors, args: []string{"-max-per-ip", "0"}}.start(t)
	found := regexp.MustCompile(`up to (\d+): limited by the descriptor limit of 150 `).FindStringSubmatch(d.out.String())
	if found == nil {
		t.Fatalf("the limit isn't named:\n%s", d.out.String())
	}
	room, _ := strconv.Atoi(found[1])
	token := d.session("alice")

	clients := d.fill(token, descriptors)
	if len(clients) != room {
		t.Errorf("%d clients got in, %d were announced", len(clients), room)
	}
	for range 50 { // refusals cost those inside nothing
		if conn, err := d.dialFrom("127.0.0.1", token, ""); err == nil {
			conn.Close()
			t.Error("another one got in")
		}
	}
	d.publishToAll(clients)

	const leaving = 7
	for _, c := range clients[:leaving] {
		c.Close()
	}
	eventually(t, "room for more", func() bool { return d.metric("busbar_connections") == float64(room-leaving) })
	clients = clients[leaving:]
	later := d.fill(token, descriptors)
	if len(later) != leaving {
		t.Errorf("%d left and %d got in", leaving, len(later))
	}
	clients = append(clients, later...)
	d.publishToAll(clients)
	d.holdAPI(token, clients)
}

// holdAPI opens more connections to the API than it serves at a time, which must cost clients nothing.
func (d *daemon) holdAPI(token string, clients []*wstest.Raw) {
	d.t.Helper()
	for range 60 {
		conn, err := net.Dial("tcp", d.api)
		if err != nil {
			d.t.Fatalf("connecting to the API: %v", err)
		}
		d.t.Cleanup(func() { conn.Close() })
	}
	// Even refusing a client needs a descriptor, and without one it would be the end of the event loops.
	for range 20 {
		if conn, err := d.dialFrom("127.0.0.1", token, ""); err == nil {
			conn.Close()
			d.t.Error("another one got in")
		}
	}
	clients[0].Close()
	eventually(d.t, "a client let in", func() bool {
		c, err := d.dialFrom("127.0.0.1", token, "")
		if err == nil {
			clients[0] = c
		}
		return err == nil
	})
	clients[0].Send(ws.OpText, `{"type":"presence","event":"held"}`)
	for _, c := range clients {
		skipTo(d.t, c, `"held"`)
	}
}

// skipTo reads up to the message that contains text, past those about clients that left.
func skipTo(t *testing.T, c *wstest.Raw, text string) {
	t.Helper()
	for {
		got, err := c.Text()
		if err != nil || !strings.Contains(got, `"presence"`) && !strings.Contains(got, text) {
			t.Errorf("waiting for %s: got %q, %v", text, got, err)
			return
		}
		if strings.Contains(got, text) {
			return
		}
	}
}

// fill connects clients until one is refused, at most so many.
func (d *daemon) fill(token string, most int) (clients []*wstest.Raw) {
	d.t.Helper()
	for len(clients) < most {
		c, err := d.dialFrom("127.0.0.1", token, "")
		if err != nil {
			return clients
		}
		clients = append(clients, c)
	}
	d.t.Fatalf("%d clients got in, and none was refused", most)
	return nil
}

// publishToAll publishes one change and wants everyone to get it.
func (d *daemon) publishToAll(clients []*wstest.Raw) {
	d.t.Helper()
	prefix := `{"seq":` + strconv.FormatUint(d.publish("t_1"), 10) + `,`
	for _, c := range clients {
		skipTo(d.t, c, prefix)
	}
}

// docs/protocol.md section 1: -max-per-ip bounds one address, and nobody else.
func TestConnectionsPerAddress(t *testing.T) {
	d := startDaemon(t, "-max-per-ip", "3")
	token := d.session("alice")
	clients := d.fill(token, 10)
	if len(clients) != 3 {
		t.Errorf("%d clients got in from one address, want 3", len(clients))
	}
	d.publishToAll(append(clients, d.rawClient("127.0.0.2", token, "")))
}
