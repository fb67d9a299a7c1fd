package conformance

import "strings"

// refusedRequests can't be upgraded. What is refused is refused with the first thing that is
// wrong, so each has one.
func refusedRequests() []request {
	requests := append(malformedRequests(), notWebSocketRequests()...)
	return append(append(requests, keyRequests()...), oversizedRequests()...)
}

// bad is a request that is answered with 400.
func bad(name, rfc, send, reason string) request {
	return request{name: name, rfc: rfc, send: send, status: 400, reason: reason}
}

func malformedRequests() []request {
	const end, start = "Sec-WebSocket-Version: 13\r\n", "Host:"
	more := func(lines string) string { return changed(end, end+lines+"\r\n") }
	return []request{
		bad("a folded header", "9112 5.2", changed("Connection: Upgrade", "Connection:\r\n Upgrade"), "folded"),
		bad("a header folded with a tab", "9112 5.2", changed("Connection: Upgrade", "Connection: keep-alive,\r\n\tUpgrade"), "folded"),
		bad("a space in front of the first header", "9112 2.2", changed(start, " "+start), "folded"),
		bad("a space in front of a colon", "9112 5.1", changed("Host:", "Host :"), "name is malformed"),
		bad("no colon", "9112 5", more("X-Broken"), "name is malformed"),
		bad("no name", "9112 5", more(": value"), "name is malformed"),
		bad("a name in two words", "9110 5.1", more("X Broken: value"), "name is malformed"),
		bad("NUL in a name", "9110 5.1", more("X\x00: value"), "name is malformed"),
		bad("NUL in a value", "9110 5.5", more("X: a\x00b"), "control character"),
		bad("a control character in a value", "9110 5.5", more("X: a\x1fb"), "control character"),
		bad("DEL in a value", "9110 5.5", more("X: a\x7fb"), "control character"),
		bad("a bare CR", "9112 2.2", more("X: a\rY: b"), "control character"),
		bad("a bare LF", "9112 2.2", more("X: a\nY: b"), "CR LF"),
		bad("LF at every line's end", "9112 2.2", strings.ReplaceAll(upgradeRequest(), "\r\n", "\n"), "CR LF"),
		bad("LF LF at the end", "9112 2.2", strings.TrimSuffix(upgradeRequest(), "\r\n\r\n")+"\n\n", "CR LF"),
		bad("no Host", "9112 3.2", changed("Host: server.example.com\r\n", ""), "Host"),
		bad("an empty Host", "9112 3.2", changed("server.example.com", ""), "Host"),
		bad("Host twice", "9112 3.2", changed(start, "Host: other.example.com\r\nHost:"), "twice"),
		bad("the same Host twice", "9112 3.2", changed(start, "host: server.example.com\r\nHost:"), "twice"),
		bad("two names in Host", "9112 3.2", changed("server.example.com", "a.example, b.example"), "Host"),
		bad("a path in Host", "9110 7.2", changed("server.example.com", "a.example/path"), "Host"),
		bad("user and host in Host", "9110 7.2", changed("server.example.com", "me@a.example"), "Host"),
		bad("the version twice", "6455 4.2.1 item 6, 9110 5.3", changed(end, end+end), "twice"),
		bad("the key twice", "6455 11.3.1", more("Sec-WebSocket-Key: "+key), "twice"),
		bad("two Origins", "6454 7", more("Origin: http://a\r\nOrigin: http://b"), "twice"),
		bad("a request line of two words", "9112 3", changed(" HTTP/1.1", ""), "not an HTTP request"),
		bad("a request line of four words", "9112 3", changed("GET /", "GET / x"), "not an HTTP request"),
		bad("two spaces in the request line", "9112 3", changed("GET /", "GET  /"), "not an HTTP request"),
		bad("two empty lines in front", "9112 2.2", "\r\n\r\n"+upgradeRequest(), "not an HTTP request"),
		bad("a target with a fragment", "9112 3.2", changed("GET /", "GET /#top"), "target is malformed"),
		bad("a target with NUL", "9112 3.2", changed("GET /", "GET /\x00"), "target is malformed"),
		bad("a percent sign", "3986 2.1", changed("GET /", "GET /%"), "target is malformed"),
		bad("a percent sign and a digit", "3986 2.1", changed("GET /", "GET /%2"), "target is malformed"),
		bad("an escape that is none", "3986 2.1", changed("GET /", "GET /%zz"), "target is malformed"),
		bad("an escape in a query that is none", "3986 2.1", changed("GET /", "GET /?since=5&x=%"), "target is malformed"),
		bad("an absolute target with half an IPv6 address", "3986 3.2.2", changed("GET /", "GET wss://[:1]:3/"), "target is malformed"),
		bad("an absolute target with a host cut short", "3986 3.2.2", changed("GET /", "GET ws://[::1:3/"), "target is malformed"),
		bad("an absolute target with a port that is none", "3986 3.2.3", changed("GET /", "GET ws://a:x/"), "target is malformed"),
		bad("half an IPv6 address in Host", "3986 3.2.2", changed("server.example.com", "[:1]:3"), "Host"),
		bad("a target in authority form", "9112 3.2.3", changed("GET /", "GET server.example.com:80"), "target is malformed"),
		bad("a target in asterisk form", "9112 3.2.4", changed("GET /", "GET *"), "target is malformed"),
		bad("an absolute target with a user", "9110 4.2.4", changed("GET /", "GET ws://me@server.example.com/"), "target is malformed"),
		bad("an absolute target of another scheme", "9112 3.2.2", changed("GET /", "GET ftp://server.example.com/"), "target is malformed"),
		bad("an absolute target and no Host", "9112 3.2", strings.Replace(changed("GET /", "GET ws://server.example.com/"), "Host: server.example.com\r\n", "", 1), "Host"),
		bad("a body", "9112 6", upgradeRequest("Content-Length: 5")+"hello", "body"),
		bad("a body that is announced twice", "9112 6.3", upgradeRequest("Content-Length: 0", "Content-Length: 5")+"hello", "body"),
		bad("a length that is no number", "9112 6.3", upgradeRequest("Content-Length: -1"), "body"),
		bad("a chunked body", "9112 6.1, 6.3", upgradeRequest("Transfer-Encoding: chunked")+"0\r\n\r\n", "body"),
		bad("chunked and a length", "9112 6.1", upgradeRequest("Transfer-Encoding: chunked", "Content-Length: 0")+"0\r\n\r\n", "body"),
	}
}

func notWebSocketRequests() []request {
	upgrade := map[string]string{"Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
	allow := map[string]string{"Allow": "GET, HEAD"}
	version := func(name, value string) request {
		return request{name: name, rfc: "6455 4.2.2, 4.4", send: changed("Version: 13", "Version: "+value), status: 426, header: upgrade, reason: "version 13"}
	}
	plain := func(name, rfc, send string) request {
		return request{name: name, rfc: rfc, send: send, status: 426, header: upgrade, reason: "WebSocket endpoint"}
	}
	return []request{
		version("version 8", "8"), version("version 0", "0"), version("version 12", "12"), version("version 14", "14"), version("version 255", "255"),
		version("version 013", "013"), version("version 13.0", "13.0"), version("versions 13, 8", "13, 8"), version("a version that is none", "x"), version("an empty version", ""),
		{name: "no version", rfc: "6455 4.2.1 item 6", send: changed("Sec-WebSocket-Version: 13\r\n", ""), status: 426, header: upgrade, reason: "version 13"},
		plain("a page", "9110 15.5.22", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
		plain("no Upgrade", "6455 4.2.1 item 3", changed("Upgrade: websocket\r\n", "")),
		plain("an upgrade to something else", "6455 4.2.1 item 3", changed("Upgrade: websocket", "Upgrade: h2c")),
		plain("an upgrade to something longer", "6455 4.2.1 item 3", changed("Upgrade: websocket", "Upgrade: websockets")),
		bad("no Connection", "6455 4.2.1 item 4", changed("Connection: Upgrade\r\n", ""), "Connection"),
		bad("a Connection that isn't upgraded", "6455 4.2.1 item 4", changed("Connection: Upgrade", "Connection: keep-alive"), "Connection"),
		bad("a Connection to something longer", "6455 4.2.1 item 4", changed("Connection: Upgrade", "Connection: Upgrades"), "Connection"),
		bad("a Connection in quotes", "9110 7.6.1", changed("Connection: Upgrade", `Connection: "Upgrade"`), "Connection"),
		{name: "POST", rfc: "6455 4.2.1 item 1", send: changed("GET", "POST"), status: 405, header: allow, reason: "only GET"},
		{name: "HEAD", rfc: "9110 9.3.2", send: "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", status: 426, header: upgrade, bodiless: true},
		{name: "HEAD with an upgrade", rfc: "6455 4.2.1 item 1, 9110 7.8", send: changed("GET", "HEAD"), status: 426, header: upgrade, bodiless: true},
		{name: "HEAD without Host", rfc: "9112 3.2, 9110 9.3.2", send: "HEAD / HTTP/1.1\r\n\r\n", status: 400, bodiless: true},
		{name: "HEAD with LF at a line's end", rfc: "9112 2.2, 9110 9.3.2", send: "HEAD / HTTP/1.1\nHost: a\n\n", status: 400, bodiless: true},
		{name: "HEAD of a long target", rfc: "9110 15.5.15, 9.3.2", send: "HEAD /" + strings.Repeat("a", 8<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", status: 414, bodiless: true},
		{name: "HEAD of nothing that there is", rfc: "9110 9.3.2", send: "HEAD * HTTP/1.1\r\nHost: a\r\n\r\n", status: 400, bodiless: true},
		{name: "CONNECT", rfc: "9110 9.3.6, 9112 3.2.3", send: "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", status: 405, header: allow, reason: "only GET"},
		bad("CONNECT without a port", "9110 9.3.6", "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", "target is malformed"),
		bad("CONNECT of a path", "9112 3.2.3", changed("GET", "CONNECT"), "target is malformed"),
		{name: "OPTIONS *", rfc: "9110 9.3.7, 9112 3.2.4", send: "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", status: 405, header: allow, reason: "only GET"},
		{name: "OPTIONS", rfc: "9110 9.3.7", send: changed("GET", "OPTIONS"), status: 405, header: allow, reason: "only GET"},
		{name: "get", rfc: "9110 9.1", send: changed("GET", "get"), status: 405, header: allow, reason: "only GET"},
		{name: "HTTP/1.0", rfc: "6455 4.2.1 item 1, 9110 7.8", send: changed("HTTP/1.1", "HTTP/1.0"), status: 505, reason: "HTTP/1.1"},
		{name: "HTTP/2.0", rfc: "9110 15.6.6", send: changed("HTTP/1.1", "HTTP/2.0"), status: 505, reason: "HTTP/1.1"},
		bad("http in lower case", "9112 2.3", changed("HTTP/1.1", "http/1.1"), "not an HTTP request"),
		bad("HTTP/1", "9112 2.3", changed("HTTP/1.1", "HTTP/1"), "not an HTTP request"),
		bad("HTTP/1.10", "9112 2.3", changed("HTTP/1.1", "HTTP/1.10"), "not an HTTP request"),
		bad("HTTP/0.9", "9112 2.3", "GET /\r\n\r\n", "not an HTTP request"),
		bad("HTTP/2's preface", "9113 3.4", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "target is malformed"),
		bad("TLS", "9112 2.2, 8446 4.1.2", "\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03"+filler(200), "not an HTTP request"),
		bad("frames and no request", "6455 4.2.1", text("hello")+text("is anybody there?"), "not an HTTP request"),
		{name: "a load balancer's question", rfc: "9110 9.3.1", send: "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", status: 200, reason: "ok"},
		{name: "a load balancer's question by HEAD", rfc: "9110 9.3.2", send: "HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n", status: 200, bodiless: true},
		{name: "the same by HEAD in HTTP/1.0", rfc: "9110 9.3.2", send: "HEAD /healthz HTTP/1.0\r\n\r\n", status: 200, bodiless: true},
		{name: "the same in HTTP/1.0", rfc: "9110 9.3.1", send: "GET /healthz HTTP/1.0\r\n\r\n", status: 200, reason: "ok"},
	}
}

func keyRequests() []request {
	bad := func(name, value string) request {
		return bad(name, "6455 4.2.1 item 5", changed(key, value), "Key")
	}
	return []request{
		bad("an empty key", ""), bad("a key of 15 bytes", "dGhlIHNhbXBsZSBub25j"), bad("a key of 17 bytes", "dGhlIHNhbXBsZSBub25jZSE="),
		bad("a key of 18 bytes", "dGhlIHNhbXBsZSBub25jZSEh"), bad("a key of 24 bytes that isn't base64", "dGhlIHNhbXBsZSBub25j_Q=="),
		bad("a key in two words", "dGhlIHNhbXBs ZSBub25jZQ=="), bad("a key without its padding", strings.TrimRight(key, "=")), bad("a key in hex", "746865206e6f6e6365"),
		bad("two keys in a list", key+", "+key), bad("a key of 16 characters", "the sample nonce"),
		{name: "no key", rfc: "6455 4.2.1 item 5", send: changed("Sec-WebSocket-Key: "+key+"\r\n", ""), status: 400, reason: "Key"},
	}
}

func oversizedRequests() []request {
	large := func(name, rfc, send string) request {
		return request{name: name, rfc: rfc, send: send, status: 431, reason: "too large"}
	}
	return []request{
		large("101 header lines", "6585 5", linesOf(maxLines+1)),
		large("16 KiB of head and a byte", "6585 5", headOf(maxHead+1)),
		large("a head of 1 MiB", "6585 5", headOf(1<<20)),
		large("a header line without end", "6585 5", "GET / HTTP/1.1\r\nX: "+strings.Repeat("x", 100_000)),
		large("a request line without end", "6585 5", "GET /"+strings.Repeat("x", 100_000)),
		{name: "a target of 8 KiB and a byte", rfc: "9110 15.5.15", send: changed("GET /", "GET /"+strings.Repeat("a", 8<<10)), status: 414, reason: "8 KiB"},
	}
}
