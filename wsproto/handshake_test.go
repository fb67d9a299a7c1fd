package wsproto

import (
	"bytes"
	"strings"
	"testing"
)

const rfcKey = "dGhlIHNhbXBsZSBub25jZQ==" // RFC 6455 1.3

// upgradeHead is the head of a request that can be upgraded, with more lines.
func upgradeHead(target string, more ...string) string {
	lines := append([]string{
		"GET " + target + " HTTP/1.1",
		"Host: server.example.com",
		"Upgrade: websocket",
		"Connection: Upgrade",
		"Sec-WebSocket-Key: " + rfcKey,
		"Sec-WebSocket-Version: 13",
	}, more...)
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// granted expects head to be upgraded, and everything in it to be copied.
func granted(t *testing.T, head string) *Request {
	t.Helper()
	p := []byte(head)
	r, refusal := ParseUpgrade(p)
	if refusal != nil || r == nil {
		t.Fatalf("refused: %+v", refusal)
	}
	if string(p) != head {
		t.Error("ParseUpgrade changed the head")
	}
	clear(p)
	return r
}

// RFC 6455 1.3 and 4.2.2: the example.
func TestUpgradeAnswer(t *testing.T) {
	const plain = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
	r := granted(t, upgradeHead("/chat", "Sec-WebSocket-Protocol: chat, superchat"))
	if string(r.Answer) != plain+"\r\n" {
		t.Errorf("got %q", r.Answer)
	}
	r = granted(t, upgradeHead("/chat", "Sec-WebSocket-Protocol: chat, bearer.a%20b"))
	if string(r.Answer) != plain+"Sec-WebSocket-Protocol: bearer.a%20b\r\n\r\n" {
		t.Errorf("got %q", r.Answer)
	}
}

// docs/protocol.md section 1: any path; where the token is taken from and what is echoed.
func TestUpgradeRequest(t *testing.T) {
	const host = "server.example.com"
	for _, c := range []struct {
		name   string
		target string
		lines  []string
		want   Request
	}{
		{"nothing special", "/", nil, Request{Path: "/", Host: host}},
		{"path and query", "/a%20b/c?since=42&x=?", nil, Request{Path: "/a%20b/c", Query: "since=42&x=?", Host: host}},
		{"upgrade on the health path", "/healthz", nil, Request{Path: "/healthz", Host: host}},
		{"RFC 9112 3.2.2 absolute form", "ws://Other.example:81/p?q", nil, Request{Path: "/p", Query: "q", Host: "Other.example:81"}},
		{"absolute form without a path", "http://[::1]:81?q", nil, Request{Path: "/", Query: "q", Host: "[::1]:81"}},
		{"origin", "/", []string{"oRIGIN:\thttps://app.example \t"}, Request{Path: "/", Host: host, Origin: "https://app.example"}},
		{"token in the header", "/", []string{"Authorization: Bearer abc"}, Request{Path: "/", Host: host, Token: "abc"}},
		{"scheme in any case, spaces", "/", []string{"authorization:  bEARER   abc  "}, Request{Path: "/", Host: host, Token: "abc"}},
		{"another scheme", "/", []string{"Authorization: Basic abc"}, Request{Path: "/", Host: host}},
		{"scheme without a token", "/", []string{"Authorization: Bearer "}, Request{Path: "/", Host: host}},
		{"two schemes", "/", []string{"Authorization: Basic abc", "Authorization: Bearer def"}, Request{Path: "/", Host: host, Token: "def"}},
		{"the first of two", "/", []string{"Authorization: Bearer abc", "Authorization: Bearer def"}, Request{Path: "/", Host: host, Token: "abc"}},
		{"token in the protocol", "/", []string{"Sec-WebSocket-Protocol: chat,bearer.a%2Bb"}, Request{Path: "/", Host: host, Token: "a+b", Protocol: "bearer.a%2Bb"}},
		{"the header's token wins, the entry is echoed", "/", []string{"Sec-WebSocket-Protocol: bearer.p", "Authorization: Bearer h"}, Request{Path: "/", Host: host, Token: "h", Protocol: "bearer.p"}},
		{"an empty header token doesn't win", "/", []string{"Authorization: Bearer", "Sec-WebSocket-Protocol: bearer.p"}, Request{Path: "/", Host: host, Token: "p", Protocol: "bearer.p"}},
		{"several protocol lines are one list", "/", []string{"Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: bearer.%zz", "Sec-WebSocket-Protocol: bearer.b, bearer.c", "Sec-WebSocket-Protocol: bearer.d"}, Request{Path: "/", Host: host, Token: "b", Protocol: "bearer.b"}},
		{"other protocols", "/", []string{"Sec-WebSocket-Protocol: chat, mqtt"}, Request{Path: "/", Host: host}},
		{"connection is a list", "/", []string{"Connection: keep-alive, uPGRADE"}, Request{Path: "/", Host: host}},
		{"RFC 9110 5.3 connection in lines", "/", []string{"Connection: keep-alive"}, Request{Path: "/", Host: host}},
		{"RFC 9110 7.8 upgrade is a list", "/", []string{"Upgrade: h2c, WebSocket"}, Request{Path: "/", Host: host}},
		{"extensions aren't negotiated", "/", []string{"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"}, Request{Path: "/", Host: host}},
		{"an empty body", "/", []string{"Content-Length: 0"}, Request{Path: "/", Host: host}},
		{"obs-text in a value", "/", []string{"X-Name: caf\xe9"}, Request{Path: "/", Host: host}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := *granted(t, upgradeHead(c.target, c.lines...))
			expectAnswer(t, got)
			if got.Answer = nil; got.Path != c.want.Path || got.Query != c.want.Query || got.Host != c.want.Host ||
				got.Origin != c.want.Origin || got.Token != c.want.Token || got.Protocol != c.want.Protocol {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// expectAnswer checks what holds for every answer: one head, and a protocol line
// exactly when an entry was chosen.
func expectAnswer(t *testing.T, r Request) {
	t.Helper()
	if HeadEnd(r.Answer) != len(r.Answer) || !bytes.HasPrefix(r.Answer, []byte("HTTP/1.1 101 ")) {
		t.Errorf("not one response head: %q", r.Answer)
	}
	want := 0
	if r.Protocol != "" {
		want = 1
	}
	if got := bytes.Count(r.Answer, []byte("\r\nSec-WebSocket-Protocol: "+r.Protocol+"\r\n")); got != want {
		t.Errorf("%d protocol lines, want %d: %q", got, want, r.Answer)
	}
	if bytes.Contains(r.Answer, []byte("Extensions")) {
		t.Errorf("an extension was accepted: %q", r.Answer)
	}
}

// Lines that replace those of a good request are looked at one by one.
func TestUpgradeSpelledOtherwise(t *testing.T) {
	for name, change := range map[string][2]string{
		"header names in lower case":  {"Sec-WebSocket-Key", "sec-websocket-key"},
		"upgrade in another case":     {"Upgrade: websocket", "upgrade: WebSocket"},
		"connection over two lines":   {"Connection: Upgrade", "Connection: keep-alive\r\nConnection: upgrade"},
		"upgrade over two lines":      {"Upgrade: websocket", "Upgrade: h2c\r\nUpgrade: websocket"},
		"no space behind the colon":   {"Version: 13", "Version:13"},
		"spaces around the value":     {"Version: 13", "Version:  \t13 \t"},
		"RFC 9112 2.2 empty line":     {"GET", "\r\nGET"},
		"bytes behind the blank line": {"13\r\n\r\n", "13\r\n\r\nanything \x00"},
		"underscore and port in Host": {"server.example.com", "my_server:8080"},
		"an IPv6 address in Host":     {"server.example.com", "[2001:db8::1]:80"},
		"RFC 6874 zone in Host":       {"server.example.com", "[fe80::1%25eth0]:80"},
		"escapes in the target":       {"GET /", "GET /%2F%aF?a=%ff"},
	} {
		t.Run(name, func(t *testing.T) {
			expectAnswer(t, *granted(t, strings.Replace(upgradeHead("/"), change[0], change[1], 1)))
		})
	}
}

// A head of 16 KiB with one long line is read; the longest entry is echoed.
func TestUpgradeLongHead(t *testing.T) {
	base := upgradeHead("/", "Sec-WebSocket-Protocol: bearer.")
	token := strings.Repeat("x", MaxHead-len(base))
	r := granted(t, upgradeHead("/", "Sec-WebSocket-Protocol: bearer."+token))
	if r.Token != token {
		t.Errorf("a token of %d bytes came out as %d", len(token), len(r.Token))
	}
	expectAnswer(t, *r)
}

func TestHeadEnd(t *testing.T) {
	for _, c := range []struct {
		in   string
		want int
	}{
		{"", -1}, {"GET / HTTP/1.1\r\n", -1}, {"GET / HTTP/1.1\r\n\r", -1}, {"a\n\nb", -1}, {"a\r\n\nb", -1}, {"a\n\r\nb", -1},
		{"a\r\n\r\n", 5}, {"a\r\n\r\nmore\r\n\r\n", 5},
	} {
		if got := HeadEnd([]byte(c.in)); got != c.want {
			t.Errorf("%q: %d, want %d", c.in, got, c.want)
		}
	}
}

func BenchmarkParseUpgrade(b *testing.B) {
	for name, head := range map[string]string{
		"native": upgradeHead("/", "Authorization: Bearer 0123456789abcdef0123456789abcdef"),
		"browser": upgradeHead("/?since=42", "Pragma: no-cache", "Cache-Control: no-cache", "Origin: https://app.example.com",
			"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
			"Accept-Encoding: gzip, deflate, br, zstd", "Accept-Language: en-GB,en;q=0.9",
			"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
			"Sec-WebSocket-Protocol: bearer.0123456789abcdef0123456789abcdef"),
	} {
		b.Run(name, func(b *testing.B) {
			p := []byte(head)
			b.ReportAllocs()
			for b.Loop() {
				if _, refusal := ParseUpgrade(p); refusal != nil {
					b.Fatal(refusal)
				}
			}
		})
	}
}
