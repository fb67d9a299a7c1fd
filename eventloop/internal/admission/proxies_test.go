package admission

import (
	"net/netip"
	"strings"
	"testing"
	"unsafe"
)

func TestTrustedProxies(t *testing.T) {
	parse := netip.MustParsePrefix
	trusted := []netip.Prefix{parse("10.1.2.3/8"), parse("192.0.2.7/32"), parse("::ffff:198.51.100.0/120"), parse("2001:db8::/32"), parse("fe80::/10")}
	for _, protocol := range []ProxyProtocol{ProxyOff, ProxyOptional, ProxyRequired} {
		p, err := NewProxies(protocol, trusted)
		if err != nil {
			t.Fatal(err)
		}
		trusts := func(addr netip.Addr, listed bool) {
			t.Helper()
			believed, unwanted := p.Peer(addr)
			if want := listed && protocol != ProxyOff; believed != want {
				t.Errorf("protocol %d: %v is believed: %t, want %t", protocol, addr, believed, want)
			}
			if want := !listed && protocol == ProxyRequired; unwanted != want {
				t.Errorf("protocol %d: %v isn't wanted: %t, want %t", protocol, addr, unwanted, want)
			}
		}
		for addr, listed := range map[string]bool{
			"10.255.0.1": true, "11.0.0.1": false, "192.0.2.7": true, "192.0.2.8": false, "198.51.100.9": true, "198.51.101.9": false,
			"2001:db8:1::1": true, "2001:db9::1": false, "fe80::1%eth0": true, "127.0.0.1": false, "::1": false,
		} {
			trusts(netip.MustParseAddr(addr), listed)
		}
		trusts(netip.Addr{}, false)
	}
	for want, p := range map[string]Proxies{
		"none; list the addresses": {protocol: ProxyOptional},
		"none of the choices":      {protocol: 3, trusted: trusted},
		"entry 1 isn't a valid":    {trusted: append(trusted[:1:1], netip.Prefix{})},
		"partly IPv4":              {trusted: []netip.Prefix{parse("::ffff:0:0/95")}},
	} {
		if _, err := NewProxies(p.protocol, p.trusted); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v", want, err)
		}
	}
}

func TestSources(t *testing.T) {
	if got := unsafe.Sizeof(source{}); got != 17 {
		t.Errorf("a source takes %d bytes", got)
	}
	var s Sources
	s.Set(3, netip.MustParseAddr("192.0.2.1"), true)
	s.Set(1, netip.MustParseAddr("::ffff:192.0.2.2"), false)
	s.Set(2, netip.MustParseAddr("2001:db8::1"), false)
	s.Forget(9)
	look := func(slot uint32, want string, wantAwaited bool) {
		t.Helper()
		if addr, awaited := s.Of(slot); addr.String() != want || awaited != wantAwaited {
			t.Errorf("slot %d: %v, awaited %t; want %s, %t", slot, addr, awaited, want, wantAwaited)
		}
	}
	look(3, "192.0.2.1", true)
	look(1, "192.0.2.2", false)
	look(2, "2001:db8::1", false)
	look(9, "::", false)
	s.Forget(3)
	look(3, "::", false)
}
