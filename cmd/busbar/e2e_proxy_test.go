package main

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// clientAddresses counts the clients that the API lists, by address.
func (d *daemon) clientAddresses() map[string]int {
	d.t.Helper()
	var page struct{ Clients []struct{ Address string } }
	d.adminCall("GET", "/v1/clients", "", &page)
	counts := make(map[string]int)
	for _, c := range page.Clients {
		counts[c.Address]++
	}
	return counts
}

// PROTOCOL 1: behind a proxy that we didn't write, with both versions of the protocol, the
// client's own address is what is shown and what the cap counts.
func TestBehindHAProxy(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]string{
		"v1": "send-proxy", "v2": "send-proxy-v2", "v2 with TLVs": "send-proxy-v2 proxy-v2-options crc32c,ssl,authority,unique-id",
	} {
		t.Run(name, func(t *testing.T) {
			d := startDaemon(t, "-max-per-ip", "2", "-proxy-protocol", "required", "-trusted-proxies", "127.0.0.1")
			p := d.startHAProxy(send)
			token := d.session("alice")
			var in []*wstest.Raw
			for _, source := range []string{"127.0.7.1", "127.0.7.1", "127.0.7.2", "127.0.7.3"} {
				c, err := p.dial(source, token)
				if err != nil {
					t.Fatalf("from %s: %v", source, err)
				}
				in = append(in, c)
			}
			if c, err := p.dial("127.0.7.1", token); err == nil {
				c.Close()
				t.Error("a third connection from one address got in")
			}
			if n := d.metric(`busbar_connections_closed_total{cause="address_cap"}`); n != 1 {
				t.Errorf("%v connections over the cap are counted, want 1", n)
			}
			want := map[string]int{"127.0.7.1": 2, "127.0.7.2": 1, "127.0.7.3": 1}
			if got := d.clientAddresses(); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("the API lists %v, want %v", got, want)
			}
			d.publishToAll(in)
			// HAProxy's own checks are answered, or it would have taken the server out.
			eventually(t, "a check by HAProxy", func() bool { return d.metric(`busbar_connections_closed_total{cause="probe"}`) >= 2 })
			if n := d.metric(`busbar_connections_closed_total{cause="bad_proxy_header"}`); n != 0 {
				t.Errorf("%v bad headers are counted", n)
			}
		})
	}
}

// PROTOCOL 1: past the proxy nobody gets in when it is required, and what a header from
// there says isn't believed when it is optional.
func TestPastTheProxy(t *testing.T) {
	required := startDaemon(t, "-proxy-protocol", "required", "-trusted-proxies", "127.0.0.9")
	if !strings.Contains(required.out.String(), "the WebSocket is for 127.0.0.9 alone") {
		t.Errorf("the server doesn't say that it is for proxies:\n%s", required.out)
	}
	token := required.session("alice")
	for range 3 {
		if conn, err := required.dialFrom("127.0.0.1", token, ""); err == nil {
			conn.Close()
			t.Error("somebody who isn't a proxy got in")
		}
	}
	if n := required.metric(`busbar_connections_closed_total{cause="untrusted_proxy"}`); n != 3 {
		t.Errorf("%v are counted, want 3", n)
	}
	required.stop() // then all that it logged is here
	if n := strings.Count(required.log.String(), "comes from no trusted proxy"); n != 1 {
		t.Errorf("it is logged %d times, want once", n)
	}

	optional := startDaemon(t, "-proxy-protocol", "optional", "-trusted-proxies", "127.0.0.9")
	token = optional.session("alice")
	for _, source := range []string{"127.0.0.1", "127.0.0.9"} {
		optional.rawClient(source, token, "")
	}
	if got := optional.clientAddresses(); got["127.0.0.1"] != 1 || got["127.0.0.9"] != 1 {
		t.Errorf("the API lists %v", got)
	}
	conn, err := net.Dial("tcp", optional.ws)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(soon))
	fmt.Fprintf(conn, "PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if answer, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(answer, " 400 ") {
		t.Errorf("a header from anybody is answered with %q, %v", answer, err)
	}
}
