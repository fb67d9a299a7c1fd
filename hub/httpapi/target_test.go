package httpapi

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/busbar-ws/busbar/hub"
)

// exchange sends bytes, and reads the answer to a request of that method.
func exchange(t *testing.T, addr, method, bytes string) (*http.Response, string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, bytes); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	answer, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%q: %v", bytes, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("%q: %v", bytes, err)
	}
	if method == http.MethodHead { // what follows an answer to HEAD is the next one
		_ = conn.(*net.TCPConn).CloseWrite()
		if rest, _ := io.ReadAll(r); len(rest) > 0 {
			t.Errorf("%q: a body of %q", bytes, rest)
		}
	}
	return answer, string(body)
}

// RFC 9112 3.2: which targets are well-formed. internal/conformance has the same for the WebSocket's port.
func TestTargets(t *testing.T) {
	s := start(t, nil)
	addr := s.listening(ServerOptions{})
	for _, tt := range []struct {
		line   string
		status int
		allow  string
	}{
		{"OPTIONS *", 405, methods}, {"CONNECT example.com:443", 405, methods}, {"CONNECT [::1]:443", 405, methods},
		{"OPTIONS /v1/changes", 405, "POST"}, {"OPTIONS /healthz", 405, "GET, HEAD"}, {"TRACE /healthz", 405, "GET, HEAD"}, {"get /healthz", 405, "GET, HEAD"},
		{"CONNECT :443", 400, ""}, {"CONNECT a@example.com:443", 400, ""}, {"GET http:///healthz", 400, ""}, {"GET https://:80/healthz", 400, ""},
		{"CONNECT example.com", 400, ""}, {"CONNECT /healthz", 400, ""}, {"GET *", 400, ""}, {"HEAD *", 400, ""}, {"GET example.com:80", 400, ""},
		{"GET /%", 400, ""}, {"GET /%zz", 400, ""}, {"GET /%2", 400, ""}, {"GET wss://[:1]:3/", 400, ""}, {"GET http://[::1/", 400, ""},
		{"GET http://a:x/", 400, ""}, {"GET /v1/stats?x=%", 400, ""},
		{"GET /healthz", 200, ""}, {"GET http://" + addr + "/healthz", 200, ""}, {"GET /%68ealthz", 200, ""},
	} {
		method, _, _ := strings.Cut(tt.line, " ")
		answer, body := exchange(t, addr, method, tt.line+" HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n")
		if answer.StatusCode != tt.status || answer.Header.Get("Allow") != tt.allow {
			t.Errorf("%s: %s, Allow %q, want %d and %q: %s", tt.line, answer.Status, answer.Header.Get("Allow"), tt.status, tt.allow, body)
		}
	}
}

// RFC 9110 9.3.2: HEAD is answered wherever GET is, with the same status and header, and no body.
func TestHead(t *testing.T) {
	s := start(t, func(h *hub.Options, o *Options) {
		everything(h, o)
		o.Dashboard = true
	})
	s.publish(1)
	s.session("u", "") // so that there is one to list
	addr := s.listening(ServerOptions{})
	targets := []string{"/", "/api/sync/pull?sinse=1", "/api/sync/pull?since=9", "/api/entities/Todo/t_1", "/v2", "/v1/changes"}
	for _, call := range describedCalls(t) {
		if call.method == "GET" {
			targets = append(targets, call.target)
		}
	}
	for _, target := range targets {
		rest := " " + target + " HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + adminToken + "\r\nConnection: close\r\n\r\n"
		get, body := exchange(t, addr, "GET", "GET"+rest)
		head, none := exchange(t, addr, "HEAD", "HEAD"+rest)
		if head.StatusCode != get.StatusCode || none != "" || body == "" {
			t.Errorf("%s: GET %s with %d bytes, HEAD %s with %q", target, get.Status, len(body), head.Status, none)
		}
		for _, name := range []string{"Content-Type", "Allow", "Upgrade", "Cache-Control"} {
			if head.Header.Get(name) != get.Header.Get(name) {
				t.Errorf("%s: %s is %q for GET, %q for HEAD", target, name, get.Header.Get(name), head.Header.Get(name))
			}
		}
	}
}

// docs/protocol.md section 5: newer Pylon clients look for the WebSocket on the API's port; they are told where it is.
func TestWebSocketIsElsewhere(t *testing.T) {
	s := start(t, nil)
	addr := s.listening(ServerOptions{})
	_, port, _ := net.SplitHostPort(s.hub.Addr().String())
	for host, want := range map[string]string{
		"example.com": "ws://example.com:", "example.com:4321": "ws://example.com:", "[::1]:4321": "ws://[::1]:", "localhost:80": "ws://localhost:",
	} {
		answer, body := exchange(t, addr, "GET", "GET /api/sync/ws?since=5 HTTP/1.1\r\nHost: "+host+"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
		if answer.StatusCode != 426 || answer.Header.Get("Upgrade") != "websocket" || !strings.EqualFold(answer.Header.Get("Connection"), "upgrade") ||
			!strings.Contains(body, `"code":"UPGRADE_REQUIRED"`) || !strings.Contains(body, `"websocket":"`+want+port+`/api/sync/ws"`) {
			t.Errorf("Host %s: %s %v %s, want %s%s", host, answer.Status, answer.Header, body, want, port)
		}
	}
	// The address that it names takes that path.
	answer, _ := exchange(t, s.hub.Addr().String(), "GET", "GET /api/sync/ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer "+s.session("u", "")+"\r\n\r\n")
	if answer.StatusCode != 101 {
		t.Errorf("upgrade at /api/sync/ws: %s", answer.Status)
	}
}
