//go:build !race && !racedaemon

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/busbar-ws/busbar/internal/wstest"
)

// connecting is JavaScript that tries to connect, and says "open", or "closed" and the code.
const connecting = `new Promise((done) => {
	const ws = new WebSocket(%q, [%q]);
	ws.onopen = () => { done("open"); ws.close(); };
	ws.onclose = (e) => done("closed " + e.code);
})`

// sandboxed is JavaScript that does the same from a frame whose origin is opaque: it is sent as "null".
const sandboxed = `new Promise((done) => {
	const frame = document.createElement("iframe");
	frame.sandbox = "allow-scripts";
	addEventListener("message", (e) => done(e.data), { once: true });
	frame.srcdoc = "<script>" + %q + ".then((outcome) => parent.postMessage(outcome, '*'))</script>";
	document.body.append(frame);
})`

// pagesAt serves an empty page, which is on every path, at an address of this host. It returns the port.
func pagesAt(t *testing.T, address string) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("no pages at %s: %v", address, err)
	}
	pages := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!doctype html><title>page</title><body>")
	}))
	pages.Listener.Close()
	pages.Listener = l
	pages.Start()
	t.Cleanup(pages.Close)
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

// docs/protocol.md section 1: a browser doesn't get in from a foreign origin. The server answers 403, which it shows as 1006.
func TestOriginsInABrowser(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	port := pagesAt(t, "127.0.0.1:0")
	page := func(host string) string { return "http://" + host + ":" + port }
	const in, out = "open", "closed 1006"
	for _, test := range []struct {
		origins string
		pages   map[string]string // address → outcome
		null    string            // outcome in a sandboxed frame
	}{
		{"", map[string]string{page("127.0.0.1"): in, page("localhost"): out, page("app.localhost"): out}, out},
		{page("localhost"), map[string]string{page("localhost"): in, page("LOCALHOST"): in, page("127.0.0.1"): out, page("app.localhost"): out, page("localhost."): out}, out},
		{page("*.localhost"), map[string]string{page("app.localhost"): in, page("a.b.localhost"): in, page("localhost"): out}, out},
		{"http://localhost", map[string]string{page("localhost"): out}, out}, // another port is another origin
		{"*", map[string]string{page("localhost"): in}, in},
	} {
		t.Run(test.origins, func(t *testing.T) {
			d := startDaemon(t, "-origins", test.origins)
			attempt := fmt.Sprintf(connecting, "ws://"+d.ws, bearerProtocol(d.session("alice")))
			refused := 0
			for address, want := range test.pages {
				if got := evaluate[string](b.open(t, address), attempt); got != want {
					t.Errorf("from %s: %s, want %s", address, got, want)
				}
				if want == out {
					refused++
				}
			}
			if got := evaluate[string](b.open(t, page("localhost")), fmt.Sprintf(sandboxed, attempt)); got != test.null {
				t.Errorf("from a sandboxed frame: %s, want %s", got, test.null)
			}
			if test.null == out {
				refused++
			}
			eventually(t, "refusals with a status of 4xx", func() bool {
				return d.metric(`busbar_upgrades_refused_total{class="4xx"}`) == float64(refused)
			})
		})
	}
}

// The same host by its IPv6 address, where page and WebSocket have different ports.
func TestOriginOfAnIPv6Page(t *testing.T) {
	six, four := pagesAt(t, "[::1]:0"), pagesAt(t, "127.0.0.1:0")
	d := startDaemon(t, "-listen", "[::1]:0")
	b := startBrowser(t)
	attempt := fmt.Sprintf(connecting, "ws://"+d.ws, bearerProtocol(d.session("alice")))
	for page, want := range map[string]string{"http://[::1]:" + six: "open", "http://localhost:" + four: "closed 1006"} {
		if got := evaluate[string](b.open(t, page), attempt); got != want {
			t.Errorf("from %s: %s, want %s", page, got, want)
		}
	}
}

// What no browser sends, but anybody can.
func TestOddOrigins(t *testing.T) {
	d := startDaemon(t, "-origins", "https://app.example.com,https://*.example.org")
	token := d.session("alice")
	for _, test := range []struct {
		headers []string
		want    int
	}{
		{nil, 101},
		{[]string{"https://app.example.com"}, 101},
		{[]string{"HTTPS://APP.EXAMPLE.COM"}, 101},
		{[]string{"https://app.example.com:443"}, 101},
		{[]string{"https://app.example.com:8443"}, 403},
		{[]string{"https://app.example.com."}, 403},
		{[]string{"https://app.example.com/"}, 101},
		{[]string{"https://user@app.example.com"}, 403},
		{[]string{"https://app.example.com@evil.example"}, 403},
		{[]string{"https://app.example.com evil.example"}, 403},
		{[]string{"https://app.example.com https://evil.example"}, 403},
		{[]string{"https://app.example.com,https://evil.example"}, 403},
		{[]string{"https://a.example.org"}, 101},
		{[]string{"https://example.org"}, 403},
		{[]string{"https://evil.example#.example.org"}, 403},
		{[]string{"https://evil.example?.example.org"}, 403},
		{[]string{"https://evil.example/.example.org"}, 403},
		{[]string{`https://evil.example\.example.org`}, 403},
		{[]string{"https://evil%2eexample.org"}, 403},
		{[]string{"https://a.example.org."}, 403},
		{[]string{"null"}, 403},
		{[]string{"https://app.example.com", "https://evil.example"}, 400},
		{[]string{"https://app.example.com", "https://app.example.com"}, 400},
		{[]string{"https://evil.example", "https://app.example.com"}, 400},
	} {
		if got := d.upgradeFrom(token, test.headers...); got != test.want {
			t.Errorf("Origin %q: %d, want %d", test.headers, got, test.want)
		}
	}
}

// upgradeFrom is the status of an upgrade with these Origin headers.
func (d *daemon) upgradeFrom(token string, origins ...string) int {
	d.t.Helper()
	c, err := wstest.DialRaw(d.t, "", d.ws)
	if err != nil {
		d.t.Fatal(err)
	}
	defer c.Close()
	lines := []string{"Authorization: Bearer " + token}
	for _, origin := range origins {
		lines = append(lines, "Origin: "+origin)
	}
	c.Say(wstest.Request("/", lines...))
	return c.Status()
}

// docs/protocol.md section 5: browsers on other origins are answered by the allowlist, and docs/protocol.md section 1: so is the WebSocket.
func TestOriginsOverHTTPAndWebSocket(t *testing.T) {
	d := startDaemon(t, "-origins", "https://app.example.com")
	token := d.session("alice")
	for origin, allowed := range map[string]bool{"https://app.example.com": true, "https://evil.example": false} {
		preflight := d.call("OPTIONS", "/v1/changes", "", "", "Origin", origin,
			"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization")
		granted := preflight.header.Get("Access-Control-Allow-Origin")
		if allowed != (granted == origin) || allowed != (preflight.status == http.StatusNoContent) {
			t.Errorf("preflight from %s: %d, allows %q", origin, preflight.status, granted)
		}
		me := d.call("GET", "/api/auth/me", token, "", "Origin", origin)
		if granted := me.header.Get("Access-Control-Allow-Origin"); allowed != (granted == origin) {
			t.Errorf("call from %s: allows %q", origin, granted)
		}
		upgrade := http.StatusSwitchingProtocols
		if !allowed {
			upgrade = http.StatusForbidden
		}
		if status := d.upgradeFrom(token, origin); status != upgrade {
			t.Errorf("upgrade from %s: status %d, want %d", origin, status, upgrade)
		}
	}
}
