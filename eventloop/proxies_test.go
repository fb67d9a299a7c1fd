package eventloop

import (
	"io"
	"strings"
	"testing"
	"time"
)

func TestProxyRequired(t *testing.T) {
	t.Parallel()
	e := startBehind(t, &host{}, ProxyRequired, func(o *Options) { o.Timeouts.Handshake = 3 * time.Second })
	// Nobody else gets in, header or not, and gets no answer.
	for i, sent := range []string{"", request(""), proxyLine("192.0.2.7") + request("")} {
		p := connect(t, e)
		_, _ = io.WriteString(p, sent) // it may be closed already
		p.ExpectEnd()
		eventually(t, "it is counted", func() bool { return closedBy(e, CauseUntrustedProxy) == i+1 })
	}
	// Of a proxy a header must come first, and be one.
	for i, sent := range []string{
		"G", request(""), "\r\n" + request(""), "\x16\x03\x01\x02", "PROXY TCP4 192.0.2.7 10.0.0.1 01 443\r\n" + request(""),
		"PROXY " + strings.Repeat("x", 101), strings.Replace(proxyBlock("192.0.2.7"), "\x21\x11", "\x22\x11", 1),
	} {
		fromProxy(t, e, sent).ExpectEnd()
		eventually(t, "it is counted", func() bool { return closedBy(e, CauseBadProxyHeader) == i+1 })
	}
	// It has the time of a handshake.
	var late []*peer
	for _, sent := range []string{"", "PROXY TCP4 ", proxyBlock("192.0.2.7")[:27]} {
		late = append(late, fromProxy(t, e, sent))
	}
	for _, p := range late {
		p.ExpectEnd()
	}
	eventually(t, "they are counted", func() bool { return closedBy(e, CauseHandshakeTimeout) == len(late) })
	eventually(t, "all have gone", func() bool { return e.Connections() == 0 })
}

func TestProxyOptional(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := startBehind(t, h, ProxyOptional, func(o *Options) { o.Accept.MaxPerAddress = 2 })
	for i, sent := range []string{request("name=x"), "\r\n" + request("name=x")} { // RFC 9112 2.2 allows the empty line
		fromProxy(t, e, sent).Upgraded()
		if got := addrOf(t, e, h, "x"); got != "127.0.9.1" {
			t.Errorf("%d: without a header the address is %s", i, got)
		}
	}
	fromProxy(t, e, request("")).ExpectEnd() // they count for the proxy's own address
	fromProxy(t, e, proxyLine("192.0.2.7")+request("name=x")).Upgraded()
	if got := addrOf(t, e, h, "x"); got != "192.0.2.7" {
		t.Errorf("with a header the address is %s", got)
	}
	fromProxy(t, e, "PROXY TCP5\r\n"+request("")).ExpectEnd()
	if n := closedBy(e, CauseBadProxyHeader); n != 1 {
		t.Errorf("%d bad headers are counted, want 1", n)
	}
}

// A header from somebody who isn't trusted is never believed, and neither is one that
// nobody has asked for.
func TestProxyHeaderFromAnybody(t *testing.T) {
	t.Parallel()
	for _, mode := range []ProxyProtocol{ProxyOff, ProxyOptional} {
		e := startBehind(t, &host{}, mode)
		for i, header := range []string{proxyLine("192.0.2.7"), proxyBlock("192.0.2.7"), proxyBlock("")} {
			p := connect(t, e)
			p.Say(header + request(""))
			if got := p.Status(); got != 400 {
				t.Errorf("mode %d: %q is answered with %d", mode, header, got)
			}
			p.Close()
			eventually(t, "it is counted", func() bool { return closedBy(e, CauseBadHandshake) == i+1 })
		}
	}
}

// A load balancer's own questions come with LOCAL, or UNKNOWN in version 1.
func TestProbeBehindAProxy(t *testing.T) {
	t.Parallel()
	e := startBehind(t, &host{}, ProxyRequired)
	for _, header := range []string{proxyBlock(""), "PROXY UNKNOWN\r\n", proxyLine("127.0.9.1")} {
		p := fromProxy(t, e, header+"GET /healthz HTTP/1.0\r\n\r\n")
		if got := p.Status(); got != 200 {
			t.Errorf("%q: %d", header, got)
		}
	}
}
