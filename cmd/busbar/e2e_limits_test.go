package main

import (
	"bufio"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws/wsutil"
)

// rawPeer is one of many connections of this process.
type rawPeer struct {
	net.Conn
	r *bufio.Reader
}

// Read reads behind what came with the upgrade's answer; wsutil answers pings by Write.
func (p *rawPeer) Read(b []byte) (int, error) { return p.r.Read(b) }

// next is the next message from the server.
func (p *rawPeer) next() (string, error) {
	_ = p.SetReadDeadline(time.Now().Add(soon))
	text, err := wsutil.ReadServerText(p)
	return string(text), err
}

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
		if conn, _, err := d.dialFrom("127.0.0.1", token, ""); err == nil {
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
func (d *daemon) holdAPI(token string, clients []*rawPeer) {
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
		if conn, _, err := d.dialFrom("127.0.0.1", token, ""); err == nil {
			conn.Close()
			d.t.Error("another one got in")
		}
	}
	clients[0].Close()
	eventually(d.t, "a client let in", func() bool {
		conn, r, err := d.dialFrom("127.0.0.1", token, "")
		if err == nil {
			clients[0] = &rawPeer{conn, r}
			d.t.Cleanup(func() { conn.Close() })
		}
		return err == nil
	})
	if err := wsutil.WriteClientText(clients[0], []byte(`{"type":"presence","event":"held"}`)); err != nil {
		d.t.Fatal(err)
	}
	for _, c := range clients {
		c.skipTo(d.t, `"held"`)
	}
}

// skipTo reads up to the message that contains text, past those about others who left.
func (p *rawPeer) skipTo(t *testing.T, text string) {
	t.Helper()
	for {
		got, err := p.next()
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
func (d *daemon) fill(token string, most int) (clients []*rawPeer) {
	d.t.Helper()
	for len(clients) < most {
		conn, r, err := d.dialFrom("127.0.0.1", token, "")
		if err != nil {
			return clients
		}
		d.t.Cleanup(func() { conn.Close() })
		clients = append(clients, &rawPeer{conn, r})
	}
	d.t.Fatalf("%d clients got in, and none was refused", most)
	return nil
}

// publishToAll publishes one change and wants everyone to get it.
func (d *daemon) publishToAll(clients []*rawPeer) {
	d.t.Helper()
	prefix := `{"seq":` + strconv.FormatUint(d.publish("t_1"), 10) + `,`
	for _, c := range clients {
		c.skipTo(d.t, prefix)
	}
}

// PROTOCOL 1: -max-per-ip bounds one address, and nobody else.
func TestConnectionsPerAddress(t *testing.T) {
	d := startDaemon(t, "-max-per-ip", "3")
	token := d.session("alice")
	clients := d.fill(token, 10)
	if len(clients) != 3 {
		t.Errorf("%d clients got in from one address, want 3", len(clients))
	}
	other, r := d.rawClient("127.0.0.2", token, "")
	defer other.Close()
	d.publishToAll(append(clients, &rawPeer{other, r}))
}
