//go:build !race && !racedaemon

package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
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

// docs/protocol.md section 1: behind a proxy that we didn't write, with both versions of the protocol, the
// client's own address is what is shown and what the cap counts.
func TestBehindHAProxy(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]string{
		"v1": "send-proxy", "v2": "send-proxy-v2", "v2 with TLVs": "send-proxy-v2 proxy-v2-options crc32c,ssl,authority,unique-id",
	} {
		t.Run(name, func(t *testing.T) {
			d := startDaemon(t, "-max-per-ip", "2", "-proxy-protocol", "required", "-trusted-proxies", "127.0.0.1")
			p := d.startProxy("haproxy", "HAProxy", map[string]string{"send-proxy-v2": send})
			token := d.session("alice")
			var in []*wstest.Raw
			for _, source := range []string{"127.0.7.1", "127.0.7.1", "127.0.7.2", "127.0.7.3"} {
				c, err := p.dial(source, "/", token)
				if err != nil {
					t.Fatalf("from %s: %v", source, err)
				}
				in = append(in, c)
			}
			if c, err := p.dial("127.0.7.1", "/", token); err == nil {
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

// nginx' stream module does the same.
func TestBehindNginx(t *testing.T) {
	t.Parallel()
	d := startDaemon(t, "-proxy-protocol", "required", "-trusted-proxies", "127.0.0.1")
	p := d.startProxy("nginx", "nginx", nil)
	token := d.session("alice")
	var in []*wstest.Raw
	for _, source := range []string{"127.0.7.1", "127.0.7.2"} {
		c, err := p.dial(source, "/", token)
		if err != nil {
			t.Fatalf("from %s: %v", source, err)
		}
		in = append(in, c)
	}
	want := map[string]int{"127.0.7.1": 1, "127.0.7.2": 1}
	if got := d.clientAddresses(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the API lists %v, want %v", got, want)
	}
	d.publishToAll(in)
}

// A proxy that reads HTTP has both ports under one name: Pylon's older clients connect to /, newer ones to
// /api/sync/ws, and what isn't an upgrade goes to the API. Pages of that name are let in.
func TestOneNameForBothPorts(t *testing.T) {
	t.Parallel()
	for program, c := range map[string]struct {
		flags   []string
		address string
	}{
		"haproxy": {[]string{"-proxy-protocol", "required", "-trusted-proxies", "127.0.0.1"}, "127.0.7.1"},
		"nginx":   {[]string{"-max-per-ip", "0"}, "127.0.0.1"},
	} {
		t.Run(program, func(t *testing.T) {
			d := startDaemon(t, c.flags...)
			p := d.startProxy(program, "One name for the WebSocket and the API", nil)
			token := d.session("alice")
			var in []*wstest.Raw
			for _, path := range []string{"/", "/api/sync/ws"} {
				ws, err := p.dial("127.0.7.1", path, token, "Origin: https://x") // the Host of wstest.Request
				if err != nil {
					t.Fatalf("%s: %v", path, err)
				}
				in = append(in, ws)
			}
			if got := d.clientAddresses(); len(got) != 1 || got[c.address] != 2 {
				t.Errorf("the API lists %v, want two of %s", got, c.address)
			}
			p.expectAPI(token)
			d.publishToAll(in)
		})
	}
}

// expectAPI asks the API through the proxy.
func (p *proxy) expectAPI(token string) {
	p.t.Helper()
	transport := &http.Transport{DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return p.connect(ctx, "127.0.7.1") }}
	defer transport.CloseIdleConnections()
	for path, status := range map[string]int{"/healthz": 200, "/api/auth/me": 200, "/api/sync/ws": 426, "/api/entities/Todo/t_1": 501, "/v1/stats": 403} {
		r, err := http.NewRequest(http.MethodGet, "https://"+p.addr+path, nil)
		if err != nil {
			p.t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Origin", "https://"+p.addr)
		answer, err := transport.RoundTrip(r)
		if err != nil {
			p.t.Fatalf("%s: %v", path, err)
		}
		answer.Body.Close()
		// Only who sees the proxy's name in Host takes the page for one of its own host.
		if allowed := answer.Header.Get("Access-Control-Allow-Origin"); answer.StatusCode != status || allowed != "https://"+p.addr {
			p.t.Errorf("%s: %s, allowed origin %q, want %d", path, answer.Status, allowed, status)
		}
	}
}

// docs/protocol.md section 1: past the proxy nobody gets in when it is required, and what a header from
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
