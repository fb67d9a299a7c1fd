package eventloop

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
)

// A client's address is kept once: gnet keeps it no more.
func TestAddressIsKeptOnce(t *testing.T) {
	t.Parallel()
	e := start(t, &host{})
	dial(t, e, "")
	everyLoop(t, e, func(l *Loop) {
		for c := range l.openClients() {
			if c.conn.Peer().IsValid() || c.Addr() != netip.MustParseAddr("127.0.0.1") {
				t.Errorf("gnet keeps %v, the client is at %v", c.conn.Peer(), c.Addr())
			}
		}
	})
}

// Connections that come and go in every state leave no address counted.
func TestAddressesAreGivenBack(t *testing.T) {
	t.Parallel()
	h := &host{}
	e := startBehind(t, h, ProxyOptional, func(o *Options) { o.Accept.MaxPerAddress = 4 })
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
	eventually(t, "somebody is counted", func() bool { return e.addresses.Len() > 0 })
	for _, p := range in {
		p.Close()
	}
	eventually(t, "all have gone", func() bool { return e.Connections() == 0 })
	if n := e.addresses.Len(); n != 0 {
		t.Errorf("%d addresses are counted though nobody is left", n)
	}
	if closedBy(e, CauseAddressCap) == 0 {
		t.Error("nobody met the cap")
	}
	everyLoop(t, e, func(l *Loop) {
		for slot := range l.clients.sources {
			if addr, awaited := l.clients.sources.Of(uint32(slot)); addr != netip.IPv6Unspecified() || awaited {
				t.Errorf("slot %d of loop %d still has the source %v, awaited %t", slot, l.index, addr, awaited)
			}
		}
	})
}
