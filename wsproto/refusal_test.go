package wsproto

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

const aDate = "Sun, 06 Nov 1994 08:49:37 GMT" // RFC 9110 5.6.7

// sent is the refusal as an HTTP client sees it.
func sent(t *testing.T, r *Refusal) (*http.Response, string) {
	t.Helper()
	br := bufio.NewReader(bytes.NewReader(r.AppendResponse(nil, []byte(aDate))))
	response, err := http.ReadResponse(br, &http.Request{Method: "GET"})
	if err != nil {
		t.Fatalf("%d: %v", r.Status, err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil || br.Buffered() > 0 {
		t.Fatalf("%d: body of %d bytes, %v, %d bytes behind it", r.Status, len(body), err, br.Buffered())
	}
	response.Body.Close()
	return response, string(body)
}

func TestRefusalResponses(t *testing.T) {
	for _, c := range []struct {
		refusal *Refusal
		status  int
		header  string
		value   string
	}{
		{RefusalHealthy, 200, "", ""},
		{refuseNotHTTP, 400, "", ""},
		{RefuseUnauthorized, 401, "WWW-Authenticate", "Bearer"},
		{RefuseForbiddenOrigin, 403, "", ""},
		{refuseMethod, 405, "Allow", "GET, HEAD"},
		{RefuseTimeout, 408, "", ""},
		{refuseTargetLength, 414, "", ""},
		{refusePlainHTTP, 426, "Upgrade", "websocket"},
		{refuseVersion, 426, "Sec-WebSocket-Version", "13"}, // RFC 6455 4.4
		{RefuseHeadTooLarge, 431, "", ""},
		{RefuseOverloaded, 503, "Retry-After", "5"},
		{&Refusal{Status: 503, Reason: "busy"}, 503, "Retry-After", ""},
		{refuseHTTPVersion, 505, "", ""},
	} {
		response, body := sent(t, c.refusal)
		if response.StatusCode != c.status || body != c.refusal.Reason+"\n" || !response.Close {
			t.Errorf("%d: got %d %q, close %t", c.status, response.StatusCode, body, response.Close)
		}
		if got := response.Header.Get("Date"); got != aDate {
			t.Errorf("%d: Date is %q", c.status, got)
		}
		if got := response.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/plain") {
			t.Errorf("%d: Content-Type is %q", c.status, got)
		}
		if got := response.Header.Get(c.header); got != c.value {
			t.Errorf("%d: %s is %q, want %q", c.status, c.header, got, c.value)
		}
	}
}

// docs/protocol.md section 1: GET /healthz is answered 200, other plain HTTP 426.
func TestPlainHTTP(t *testing.T) {
	for _, c := range []struct {
		name, head string
		want       *Refusal
	}{
		{"a page", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", refusePlainHTTP},
		{"another upgrade", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", refusePlainHTTP},
		{"health", "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", RefusalHealthy},
		{"health with a query", "GET /healthz?x=1 HTTP/1.1\r\nHost: a\r\n\r\n", RefusalHealthy},
		{"health in absolute form", "GET http://a/healthz HTTP/1.1\r\nHost: a\r\n\r\n", RefusalHealthy},
		{"health as HAProxy asks by default", "GET /healthz HTTP/1.0\r\n\r\n", RefusalHealthy},
		{"health without Host", "GET /healthz HTTP/1.1\r\n\r\n", refuseHost},
		{"below the health path", "GET /healthz/ HTTP/1.1\r\nHost: a\r\n\r\n", refusePlainHTTP},
		{"POST", "POST /healthz HTTP/1.1\r\nHost: a\r\n\r\n", refuseMethod},
		{"HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", refuseHTTPVersion},
		{"HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\n", refuseTarget},
		{"HTTP/2's version", "GET /healthz HTTP/2.0\r\nHost: a\r\n\r\n", refuseHTTPVersion},
		{"HTTP/0.9", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", refuseHTTPVersion},
		{"HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", refuseHTTPVersion},
	} {
		t.Run(c.name, func(t *testing.T) { expectRefusal(t, c.head, c.want) })
	}
}

// RFC 9110 9.3.2: HEAD is answered with the header of what GET is answered with, whatever that is.
func TestHeadHasNoBody(t *testing.T) {
	for rest, status := range map[string]int{
		" / HTTP/1.1\r\nHost: a\r\n\r\n": 426, " /healthz HTTP/1.1\r\nHost: a\r\n\r\n": 200, " /healthz HTTP/1.0\r\n\r\n": 200,
		" / HTTP/1.1\r\n\r\n": 400, " /% HTTP/1.1\r\nHost: a\r\n\r\n": 400, " / HTTP/1.0\r\n\r\n": 505, " /": 400,
		" /" + strings.Repeat("a", maxTarget) + " HTTP/1.1\r\n\r\n": 414, " / HTTP/1.1\r\nX: " + strings.Repeat("a", MaxHead): 431,
	} {
		_, get := ParseUpgrade([]byte("GET" + rest))
		_, head := ParseUpgrade([]byte("HEAD" + rest))
		got, whole := string(head.AppendResponse(nil, []byte(aDate))), string(get.AppendResponse(nil, []byte(aDate)))
		if want, _, _ := strings.Cut(whole, "\r\n\r\n"); head.Status != status || got != want+"\r\n\r\n" {
			t.Errorf("%.40q: got %d %q, want %d and the header of %q", rest, head.Status, got, status, whole)
		}
	}
}

// HEAD is never upgraded: RFC 6455 4.1 has GET alone.
func TestHeadIsNotUpgraded(t *testing.T) {
	r, refusal := ParseUpgrade([]byte(strings.Replace(upgradeHead("/"), "GET", "HEAD", 1)))
	if r != nil || refusal.Status != 426 || refusal.Reason != refusePlainHTTP.Reason {
		t.Errorf("got %+v, %+v", r, refusal)
	}
}

func expectRefusal(t *testing.T, head string, want *Refusal) {
	t.Helper()
	r, got := ParseUpgrade([]byte(head))
	if r != nil {
		t.Fatalf("upgraded: %+v", r)
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// Each case changes one thing about a request that can be upgraded.
func TestBadUpgrades(t *testing.T) {
	good := upgradeHead("/")
	replace := func(old, by string) string { return strings.Replace(good, old, by, 1) }
	many := strings.Repeat("X-Filler: 1\r\n", maxHeaderLines)
	for _, c := range []struct {
		name, head string
		want       *Refusal
	}{
		{"nothing", "\r\n\r\n", refuseNotHTTP},
		{"not HTTP", "\x16\x03\x01 hello world\r\n\r\n", refuseNotHTTP},
		{"no version", replace(" HTTP/1.1", ""), refuseNotHTTP},
		{"four words", replace("GET /", "GET / x"), refuseNotHTTP},
		{"two spaces", replace("GET /", "GET  /"), refuseNotHTTP},
		{"no target", replace("GET / ", "GET  "), refuseTarget},
		{"no blank line", good[:len(good)-2], refuseNoEnd},
		{"RFC 9112 3.2.4 asterisk form", replace("GET /", "GET *"), refuseTarget},
		{"RFC 9112 3.2.3 authority form", replace("GET /", "GET a:80"), refuseTarget},
		{"fragment in the target", replace("GET /", "GET /#a"), refuseTarget},
		{"control character in the target", replace("GET /", "GET /\x7f"), refuseTarget},
		{"user in the target", replace("GET /", "GET ws://me@host/"), refuseTarget},
		{"another scheme", replace("GET /", "GET ftp://host/"), refuseTarget},
		{"8 KiB of target", replace("GET /", "GET /"+strings.Repeat("a", maxTarget)), refuseTargetLength},
		{"RFC 9112 5.2 folding", replace("Connection: Upgrade", "Connection:\r\n Upgrade"), refuseFolding},
		{"folding with a tab", replace("Connection: Upgrade", "Connection:\r\n\tUpgrade"), refuseFolding},
		{"space in front of the first header", replace("Host:", " Host:"), refuseFolding},
		{"RFC 9112 5.1 space before the colon", replace("Host:", "Host :"), refuseHeaderName},
		{"no colon", replace("Host: ", "Host "), refuseHeaderName},
		{"no name", replace("Host: ", ": "), refuseHeaderName},
		{"control character in a name", replace("Host", "Ho\x00st"), refuseHeaderName},
		{"NUL in a value", replace("13\r\n", "13\r\nX: a\x00b\r\n"), refuseHeaderValue},
		{"bare LF", replace("13\r\n", "13\r\nX: a\nY: b\r\n"), refuseHeaderValue},
		{"bare CR", replace("13\r\n", "13\r\nX: a\rb\r\n"), refuseHeaderValue},
		{"DEL in a value", replace("13\r\n", "13\r\nX: \x7f\r\n"), refuseHeaderValue},
		{"RFC 9112 3.2 no Host", replace("Host: server.example.com\r\n", ""), refuseHost},
		{"empty Host", replace("server.example.com", ""), refuseHost},
		{"two names in Host", replace("server.example.com", "a, b"), refuseHost},
		{"path in Host", replace("server.example.com", "a/b"), refuseHost},
		{"port that is none", replace("server.example.com", "a:b"), refuseHost},
		{"RFC 3986 2.1 percent sign", replace("GET /", "GET /%"), refuseTarget},
		{"percent sign and a digit", replace("GET /", "GET /a%2"), refuseTarget},
		{"escape that is none", replace("GET /", "GET /%zz"), refuseTarget},
		{"escape that is none in a query", replace("GET /", "GET /?since=1%"), refuseTarget},
		{"escape that is none in a host", replace("GET /", "GET ws://a%2/"), refuseTarget},
		{"RFC 3986 3.2.2 half an IPv6 address", replace("GET /", "GET wss://[:1]:3/"), refuseTarget},
		{"IPv6 address of nine parts", replace("GET /", "GET ws://[1:2:3:4:5:6:7:8:9]/"), refuseTarget},
		{"IPv4 address in brackets", replace("GET /", "GET ws://[127.0.0.1]/"), refuseTarget},
		{"half an IPv6 address in Host", replace("server.example.com", "[:1]:3"), refuseHost},
		{"zone of no name in Host", replace("server.example.com", "[fe80::1%]"), refuseHost},
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", refuseMethod},
		{"OPTIONS of a path", replace("GET", "OPTIONS"), refuseMethod},
		{"CONNECT", "CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n", refuseMethod},
		{"CONNECT without a port", "CONNECT [::1] HTTP/1.1\r\nHost: [::1]\r\n\r\n", refuseTarget},
		{"CONNECT with an empty port", "CONNECT a: HTTP/1.1\r\nHost: a\r\n\r\n", refuseTarget},
		{"CONNECT of a path", replace("GET", "CONNECT"), refuseTarget},
		{"unfinished IPv6 address", replace("server.example.com", "[::1"), refuseHost},
		{"two Hosts", replace("Host:", "Host: a\r\nHost:"), refuseDuplicate},
		{"two keys", replace("Sec-WebSocket-Key:", "sec-websocket-key: "+rfcKey+"\r\nSec-WebSocket-Key:"), refuseDuplicate},
		{"two versions", replace("Sec-WebSocket-Version:", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version:"), refuseDuplicate},
		{"two Origins", replace("13\r\n", "13\r\nOrigin: a\r\nOrigin: b\r\n"), refuseDuplicate},
		{"RFC 6455 4.2.1 no Connection", replace("Connection: Upgrade\r\n", ""), refuseConnection},
		{"Connection without Upgrade", replace("Connection: Upgrade", "Connection: upgraded, close"), refuseConnection},
		{"RFC 6455 4.4 version 8", replace("Version: 13", "Version: 8"), refuseVersion},
		{"version 013", replace("Version: 13", "Version: 013"), refuseVersion},
		{"no version header", replace("Sec-WebSocket-Version: 13\r\n", ""), refuseVersion},
		{"RFC 6455 4.2.1 no key", replace("Sec-WebSocket-Key: "+rfcKey+"\r\n", ""), refuseKey},
		{"empty key", replace(rfcKey, ""), refuseKey},
		{"key of 15 bytes", replace(rfcKey, "dGhlIHNhbXBsZSBub25j"), refuseKey},
		{"key of 17 bytes", replace(rfcKey, "dGhlIHNhbXBsZSBub25jZSE="), refuseKey},
		{"key of 18 bytes", replace(rfcKey, "dGhlIHNhbXBsZSBub25jZSEh"), refuseKey},
		{"key that isn't base64", replace(rfcKey, "dGhlIHNhbXBsZSBub25j_Q=="), refuseKey},
		{"a body", replace("13\r\n", "13\r\nContent-Length: 5\r\n"), refuseBody},
		{"two lengths of a body", replace("13\r\n", "13\r\nContent-Length: 5\r\nContent-Length: 0\r\n"), refuseBody},
		{"a chunked body", replace("13\r\n", "13\r\nTransfer-Encoding: chunked\r\n"), refuseBody},
		{"101 header lines", replace("Host:", many+"Host:"), RefuseHeadTooLarge},
		{"over 16 KiB", replace("13\r\n", "13\r\nX: "+strings.Repeat("a", MaxHead)+"\r\n"), RefuseHeadTooLarge},
		{"over 16 KiB and no end", strings.Repeat("a", MaxHead+1), RefuseHeadTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) { expectRefusal(t, c.head, c.want) })
	}
}

// RFC 9110 5.6.7: the date is GMT to the second, whatever the clock's zone is, and costs nothing until
// the next second.
func TestDateIsFormattedOnceASecond(t *testing.T) {
	var d Date
	when := time.Date(1994, 11, 6, 9, 49, 37, 5, time.FixedZone("CET", 3600))
	for _, want := range []string{"Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT"} {
		if got := string(d.At(when)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		when = when.Add(time.Second)
	}
	if n := testing.AllocsPerRun(100, func() { when = when.Add(time.Second / 3); d.At(when) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
