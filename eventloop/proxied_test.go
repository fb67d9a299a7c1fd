package eventloop

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/gobwas/ws"
)

// proxyAddr is where the tests' proxies connect from; 127.0.0.1 is anybody else.
var proxyAddr = net.IPv4(127, 0, 9, 1)

// startBehind runs an engine behind proxies at 127.0.9.0/24.
func startBehind(t *testing.T, h Handler, mode ProxyProtocol, tune ...func(*Options)) *Engine {
	t.Helper()
	return start(t, h, append(tune, func(o *Options) {
		o.ProxyProtocol = mode
		o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("::ffff:127.0.9.0/120")}
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
	p.write(bytes)
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
				p.write(whole[cut:])
			}
			p.upgraded()
			p.expect(ws.OpText, "early")
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
			p.write(string([]byte{b}))
			digested(t, e)
		}
		p.upgraded()
		p.expect(ws.OpText, "early")
		if got := addrOf(t, e, h, "x"); got != "192.0.2.7" {
			t.Errorf("the address is %s", got)
		}
	}
}

// The cap for each address is for the address that the header gives, in whatever form.
func TestMaxPerAddressBehindAProxy(t *testing.T) {
	t.Parallel()
	const most = 3
	e := startBehind(t, &host{}, ProxyRequired, func(o *Options) { o.MaxPerAddress = most })
	var waiting []*peer
	for range 3 * most { // none of them counts for the proxy's address
		waiting = append(waiting, fromProxy(t, e, ""))
	}
	eventually(t, "all are in", func() bool { return e.Connections() == len(waiting) })
	var in []*peer
	for i, p := range waiting {
		p.write([]string{proxyLine("192.0.2.1"), proxyBlock("192.0.2.1"), proxyLine("::ffff:192.0.2.1")}[i%3] + request(""))
		if i < most {
			p.upgraded()
			in = append(in, p)
		} else {
			p.expectEnd()
		}
	}
	if n := closedBy(e, CauseAddressCap); n != len(waiting)-most {
		t.Errorf("%d refusals are counted, want %d", n, len(waiting)-most)
	}
	for _, other := range []string{proxyLine("192.0.2.2"), proxyBlock("2001:db8::1"), proxyBlock("")} {
		fromProxy(t, e, other+request("")).upgraded()
	}
	before := e.Connections()
	in[0].Close()
	eventually(t, "it has gone", func() bool { return e.Connections() < before })
	fromProxy(t, e, proxyBlock("192.0.2.1")+request("")).upgraded()
	fromProxy(t, e, proxyBlock("192.0.2.1")+request("")).expectEnd()
}

func TestProxyRequired(t *testing.T) {
	t.Parallel()
	e := startBehind(t, &host{}, ProxyRequired, func(o *Options) { o.HandshakeTimeout = 300 * time.Millisecond })
	// Nobody else gets in, header or not, and gets no answer.
	for i, sent := range []string{"", request(""), proxyLine("192.0.2.7") + request("")} {
		p := connect(t, e)
		_, _ = io.WriteString(p, sent) // it may be closed already
		p.expectEnd()
		eventually(t, "it is counted", func() bool { return closedBy(e, CauseUntrustedProxy) == i+1 })
	}
	// Of a proxy a header must come first, and be one.
	for i, sent := range []string{
		"G", request(""), "\r\n" + request(""), "\x16\x03\x01\x02", "PROXY TCP4 192.0.2.7 10.0.0.1 01 443\r\n" + request(""),
		"PROXY " + strings.Repeat("x", 101), strings.Replace(proxyBlock("192.0.2.7"), "\x21\x11", "\x22\x11", 1),
	} {
		fromProxy(t, e, sent).expectEnd()
		eventually(t, "it is counted", func() bool { return closedBy(e, CauseBadProxyHeader) == i+1 })
	}
	// It has the time of a handshake.
	for i, sent := range []string{"", "PROXY TCP4 ", proxyBlock("192.0.2.7")[:27]} {
		fromProxy(t, e, sent).expectEnd()
		eventually(t, "it is counted", func() bool { return closedBy(e, CauseHandshakeTimeout) == i+1 })
	}
	eventually(t, "all have gone", func() bool { return e.Connections() == 0 })
}

func TestProxyOptional(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := startBehind(t, h, ProxyOptional, func(o *Options) { o.MaxPerAddress = 2 })
	for i, sent := range []string{request("name=x"), "\r\n" + request("name=x")} { // RFC 9112 2.2 allows the empty line
		fromProxy(t, e, sent).upgraded()
		if got := addrOf(t, e, h, "x"); got != "127.0.9.1" {
			t.Errorf("%d: without a header the address is %s", i, got)
		}
	}
	fromProxy(t, e, request("")).expectEnd() // they count for the proxy's own address
	fromProxy(t, e, proxyLine("192.0.2.7")+request("name=x")).upgraded()
	if got := addrOf(t, e, h, "x"); got != "192.0.2.7" {
		t.Errorf("with a header the address is %s", got)
	}
	fromProxy(t, e, "PROXY TCP5\r\n"+request("")).expectEnd()
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
			p.write(header + request(""))
			if got := p.status(); got != 400 {
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
		if got := p.status(); got != 200 {
			t.Errorf("%q: %d", header, got)
		}
	}
}

func TestTrustedProxies(t *testing.T) {
	parse := netip.MustParsePrefix
	trusted, err := normalTrusted([]netip.Prefix{parse("10.1.2.3/8"), parse("192.0.2.7/32"), parse("::ffff:198.51.100.0/120"), parse("2001:db8::/32"), parse("fe80::/10")})
	must(t, err)
	o := Options{ProxyProtocol: ProxyRequired, TrustedProxies: trusted}
	for addr, want := range map[string]bool{
		"10.255.0.1": true, "11.0.0.1": false, "192.0.2.7": true, "192.0.2.8": false, "198.51.100.9": true, "198.51.101.9": false,
		"2001:db8:1::1": true, "2001:db9::1": false, "fe80::1%eth0": true, "127.0.0.1": false, "::1": false,
	} {
		if got := o.trusts(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %t, want %t", addr, got, want)
		}
	}
	if o.trusts(netip.Addr{}) {
		t.Error("an address that isn't known is trusted")
	}
	for want, o := range map[string]Options{
		"none; list the addresses": {ProxyProtocol: ProxyOptional},
		"none of the choices":      {ProxyProtocol: 3, TrustedProxies: trusted},
		"entry 1 isn't a valid":    {TrustedProxies: append(trusted[:1:1], netip.Prefix{})},
		"partly IPv4":              {TrustedProxies: []netip.Prefix{parse("::ffff:0:0/95")}},
	} {
		if _, err := New(&host{}, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v", want, err)
		}
	}
}

// Who has no proxy pays nothing for them, and who has pays 17 bytes for a connection.
func TestSourcesSize(t *testing.T) {
	t.Parallel()
	if got := unsafe.Sizeof(source{}); got != 17 {
		t.Errorf("a source takes %d bytes", got)
	}
	for mode, want := range map[ProxyProtocol]bool{ProxyOff: false, ProxyOptional: true} {
		e := startBehind(t, &host{}, mode)
		dial(t, e, "")
		everyLoop(t, e, func(l *Loop) {
			if l.sources != nil {
				t.Errorf("mode %d: sources are kept and no proxy has connected", mode)
			}
		})
		fromProxy(t, e, request("")).upgraded()
		kept := make(chan bool, 2)
		everyLoop(t, e, func(l *Loop) { kept <- l.sources != nil })
		close(kept)
		some := false
		for k := range kept {
			some = some || k
		}
		if some != want {
			t.Errorf("mode %d: sources kept: %t, want %t", mode, some, want)
		}
	}
}

// Connections that come and go in every state leave no address counted.
func TestAddressesAreGivenBack(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := startBehind(t, h, ProxyOptional, func(o *Options) { o.MaxPerAddress = 4 })
	random := rand.New(rand.NewPCG(3, 14))
	var in []*peer
	for range 400 {
		from, header := proxyAddr, ""
		switch random.IntN(6) {
		case 0:
			from = net.IPv4(127, 0, 0, 1)
		case 1:
			header = proxyBlock("")
		case 2, 3:
			header = proxyBlock(fmt.Sprintf("192.0.2.%d", random.IntN(5)))
		case 4:
			header = proxyLine(fmt.Sprintf("::ffff:192.0.2.%d", random.IntN(5)))
		}
		sent := header + request("")
		if random.IntN(3) == 0 {
			sent = sent[:random.IntN(len(sent))]
		}
		p, err := tryConnect(t, e, from)
		must(t, err)
		_, _ = io.WriteString(p, sent) // it may be refused already
		if in = append(in, p); len(in) > 20 {
			i := random.IntN(len(in))
			in[i].Close()
			in = append(in[:i], in[i+1:]...)
		}
	}
	counted := func() (n int) {
		for i := range e.addresses.shards {
			s := &e.addresses.shards[i]
			s.mu.Lock()
			n += len(s.count)
			s.mu.Unlock()
		}
		return n
	}
	eventually(t, "somebody is counted", func() bool { return counted() > 0 })
	for _, p := range in {
		p.Close()
	}
	eventually(t, "all have gone", func() bool { return e.Connections() == 0 })
	if n := counted(); n != 0 {
		t.Errorf("%d addresses are counted though nobody is left", n)
	}
	if closedBy(e, CauseAddressCap) == 0 {
		t.Error("nobody met the cap")
	}
	everyLoop(t, e, func(l *Loop) {
		for slot, from := range l.sources {
			if from != (source{}) {
				t.Errorf("slot %d of loop %d still has the source %v", slot, l.index, from)
			}
		}
	})
}
