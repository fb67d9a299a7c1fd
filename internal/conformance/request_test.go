package conformance

import (
	"fmt"
	"strings"
)

// Limits of a request's head: docs/conformance.md.
const (
	maxHead  = 16 << 10
	maxLines = 100
)

// changed is upgradeRequest with one thing about it replaced.
func changed(old, by string) string {
	good := upgradeRequest()
	if !strings.Contains(good, old) {
		panic(fmt.Sprintf("%q is not in the request", old))
	}
	return strings.Replace(good, old, by, 1)
}

// headOf is an upgradeRequest of so many bytes.
func headOf(size int) string {
	short := upgradeRequest("X-Filler: ")
	return upgradeRequest("X-Filler: " + filler(size - len(short))[:size-len(short)])
}

// linesOf is an upgradeRequest with so many header lines.
func linesOf(n int) string {
	var lines []string
	for i := range n - strings.Count(upgradeRequest(), "\r\n") + 2 {
		lines = append(lines, fmt.Sprintf("X-%d: %d", i, i))
	}
	return upgradeRequest(lines...)
}

// grantedRequests can be upgraded, each in spite of something.
func grantedRequests() []request {
	requests := []request{
		{name: "RFC 6455's own", rfc: "6455 1.3, 4.2.2", send: upgradeRequest()},
		{name: "names in lower case", rfc: "9110 5.1", send: lowerNames(upgradeRequest())},
		{name: "keep-alive, Upgrade", rfc: "9110 7.6.1", send: changed("Connection: Upgrade", "Connection: keep-alive, Upgrade")},
		{name: "a list in odd case", rfc: "9110 7.6.1", send: changed("Connection: Upgrade", "connection: KEEP-ALIVE,uPGRADE")},
		{name: "a list with holes", rfc: "9110 5.6.1.2", send: changed("Connection: Upgrade", "Connection: , ,\tupgrade ,,")},
		{name: "a list over three lines", rfc: "9110 5.2, 5.3", send: changed("Connection: Upgrade", "Connection: keep-alive\r\nconnection: Upgrade\r\nConnection: close")},
		{name: "Connection twice", rfc: "9110 5.3", send: changed("Connection: Upgrade", "Connection: Upgrade\r\nConnection: Upgrade")},
		{name: "WEBSOCKET", rfc: "6455 4.2.1 item 3", send: changed("Upgrade: websocket", "Upgrade: WEBSOCKET")},
		{name: "another protocol offered first", rfc: "9110 7.8", send: changed("Upgrade: websocket", "Upgrade: h2c, websocket")},
		{name: "Upgrade over two lines", rfc: "9110 5.3, 7.8", send: changed("Upgrade: websocket", "Upgrade: h2c\r\nUpgrade: websocket")},
		{name: "Upgrade twice", rfc: "9110 5.3", send: changed("Upgrade: websocket", "Upgrade: websocket\r\nUpgrade: websocket")},
		{name: "white space around values", rfc: "9112 5.1", send: changed("Version: 13", "Version:\t 13 \t")},
		{name: "no white space", rfc: "9112 5.1", send: strings.ReplaceAll(upgradeRequest(), ": ", ":")},
		{name: "an empty line in front", rfc: "9112 2.2", send: "\r\n" + upgradeRequest()},
		{name: "an absolute target", rfc: "9112 3.2.2", send: changed("GET /", "GET ws://server.example.com/")},
		{name: "an absolute target over https", rfc: "9112 3.2.2", send: changed("GET /", "GET https://server.example.com/path?q=1")},
		{name: "an absolute target of another host", rfc: "9112 3.2.2", send: changed("GET /", "GET http://other.example.com:81/")},
		{name: "an absolute target without a path", rfc: "9112 3.2.2", send: changed("GET /", "GET ws://server.example.com")},
		{name: "a path and a query", rfc: "6455 4.1", send: changed("GET /", "GET /a/%20b/?since=0&x=%00")},
		{name: "a higher minor version", rfc: "6455 4.2.1 item 1, 9110 2.5", send: changed("HTTP/1.1", "HTTP/1.3")},
		{name: "Host with a port", rfc: "9110 7.2", send: changed("server.example.com", "server.example.com:8080")},
		{name: "Host that is an IPv6 address", rfc: "9110 7.2", send: changed("server.example.com", "[::1]:4322")},
		{name: "a body of no bytes", rfc: "9112 6", send: upgradeRequest("Content-Length: 0")},
		{name: "bytes above ASCII in a value", rfc: "9110 5.5", send: upgradeRequest("X-Name: Gr\xfc\xdfe \xe2\x82\xac")},
		{name: "a subprotocol that isn't spoken", rfc: "6455 4.2.2 item 5", send: upgradeRequest("Sec-WebSocket-Protocol: chat, superchat")},
		{name: "an extension that isn't known", rfc: "6455 9.1", send: upgradeRequest("Sec-WebSocket-Extensions: x-foo; bar=1, x-baz")},
		{name: "an Origin", rfc: "6455 4.2.1 item 7", send: upgradeRequest("Origin: http://server.example.com")},
		{name: "100 header lines", rfc: "9110 5.4", send: linesOf(maxLines)},
		{name: "16 KiB of head", rfc: "9110 5.4", send: headOf(maxHead)},
		{name: "a target of 8 KiB", rfc: "9112 3", send: changed("GET /", "GET /"+strings.Repeat("a", 8<<10-1))},
	}
	for i := range requests {
		requests[i].status = 101
	}
	return requests
}

func lowerNames(request string) string {
	lines := strings.Split(request, "\r\n")
	for i, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		if value != "" {
			lines[i+1] = strings.ToLower(name) + ":" + value
		}
	}
	return strings.Join(lines, "\r\n")
}
