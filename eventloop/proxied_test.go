package eventloop

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// proxyAddr is where the tests' proxies connect from; 127.0.0.1 is anybody else.
var proxyAddr = net.IPv4(127, 0, 9, 1)

// startBehind runs an engine behind proxies at 127.0.9.0/24.
func startBehind(t *testing.T, h Handler, mode ProxyProtocol, tune ...func(*Options)) *Engine {
	t.Helper()
	return start(t, h, append(tune, func(o *Options) {
		o.Accept.ProxyProtocol = mode
		o.Accept.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("::ffff:127.0.9.0/120")}
	})...)
}

// proxyLine is a header of version 1.
func proxyLine(client string) string {
	family, server := "TCP4", "10.0.0.1"
	if strings.Contains(client, ":") {
		family, server = "TCP6", "2001:db8::ffff"
	}
	return fmt.Sprintf("PROXY %s %s %s 56324 443\r\n", family, client, server)
}

// proxyBlock is a header of version 2. Without a client it is LOCAL.
func proxyBlock(client string) string {
	const signature = "\r\n\r\n\x00\r\nQUIT\n"
	if client == "" {
		return signature + "\x20\x00\x00\x00"
	}
	addr := netip.MustParseAddr(client)
	family, body := "\x11", addr.AsSlice()
	if addr.Is6() {
		family = "\x21"
	}
	body = append(append(body, body...), "\xdc\x04\x01\xbb\x04\x00\x00"...) // ports, and a TLV without a value
	return signature + "\x21" + family + string(binary.BigEndian.AppendUint16(nil, uint16(len(body)))) + string(body)
}

func fromProxy(t *testing.T, e *Engine, bytes string) *peer {
	t.Helper()
	p, err := tryConnect(t, e, proxyAddr)
	must(t, err)
	p.Say(bytes)
	return p
}

func addrOf(t *testing.T, e *Engine, h *host, name string) (addr string) {
	t.Helper()
	on(t, e, h.id(name), func(c *Client) { addr = c.Addr().String() })
	return addr
}

// digested waits until the loops have read what was sent before: tasks come behind the
// sockets of a poll round, and the second ones surely run in a round that has seen them.
func digested(t *testing.T, e *Engine) {
	t.Helper()
	for range 2 {
		everyLoop(t, e, func(*Loop) {})
	}
}

// Header, request and frames in one segment, and in two that are cut anywhere.
func TestProxyHeaderCutAnywhere(t *testing.T) {
	t.Parallel()
	h := &host{onMessage: echo}
	e := startBehind(t, h, ProxyRequired)
	for client, header := range map[string]string{
		"192.0.2.7":   proxyLine("192.0.2.7"),
		"192.0.2.8":   proxyBlock("192.0.2.8"),
		"2001:db8::7": proxyBlock("2001:db8::7"),
		"192.0.2.9":   proxyLine("::ffff:192.0.2.9"),
		"127.0.9.1":   proxyBlock(""), // LOCAL
	} {
		whole := header + request("name="+client) + clientFrame(ws.OpText, "early")
		for cut := 1; cut <= len(whole); cut++ {
			p := fromProxy(t, e, whole[:cut])
			if cut < len(whole) {
				digested(t, e)
				p.Say(whole[cut:])
			}
			p.Upgraded()
			p.Expect(ws.OpText, "early")
			if got := addrOf(t, e, h, client); got != client {
				t.Fatalf("cut at %d, the address is %s, want %s", cut, got, client)
			}
			p.Close()
		}
	}
}

func TestProxyHeaderByteByByte(t *testing.T) {
	t.Parallel()
	h := &host{onMessage: echo}
	e := startBehind(t, h, ProxyOptional)
	for _, header := range []string{proxyLine("192.0.2.7"), proxyBlock("192.0.2.7")} {
		p := fromProxy(t, e, "")
		for _, b := range []byte(header + request("name=x") + clientFrame(ws.OpText, "early")) {
			p.Say(string([]byte{b}))
			digested(t, e)
		}
		p.Upgraded()
		p.Expect(ws.OpText, "early")
		if got := addrOf(t, e, h, "x"); got != "192.0.2.7" {
			t.Errorf("the address is %s", got)
		}
	}
}

// The cap for each address is for the address that the header gives, in whatever form.
func TestMaxPerAddressBehindAProxy(t *testing.T) {
	t.Parallel()
	const most = 3
	e := startBehind(t, &host{}, ProxyRequired, func(o *Options) { o.Accept.MaxPerAddress = most })
	var waiting []*peer
	for range 3 * most { // none of them counts for the proxy's address
		waiting = append(waiting, fromProxy(t, e, ""))
	}
	eventually(t, "all are in", func() bool { return e.Connections() == len(waiting) })
	var in []*peer
	for i, p := range waiting {
		p.Say([]string{proxyLine("192.0.2.1"), proxyBlock("192.0.2.1"), proxyLine("::ffff:192.0.2.1")}[i%3] + request(""))
		if i < most {
			p.Upgraded()
			in = append(in, p)
		} else {
			p.ExpectEnd()
		}
	}
	if n := closedBy(e, CauseAddressCap); n != len(waiting)-most {
		t.Errorf("%d refusals are counted, want %d", n, len(waiting)-most)
	}
	for _, other := range []string{proxyLine("192.0.2.2"), proxyBlock("2001:db8::1"), proxyBlock("")} {
		fromProxy(t, e, other+request("")).Upgraded()
	}
	before := e.Connections()
	in[0].Close()
	eventually(t, "it has gone", func() bool { return e.Connections() < before })
	fromProxy(t, e, proxyBlock("192.0.2.1")+request("")).Upgraded()
	fromProxy(t, e, proxyBlock("192.0.2.1")+request("")).ExpectEnd()
}
