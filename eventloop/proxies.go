package eventloop

import (
	"fmt"
	"net/netip"
)

// ProxyProtocol says whether connections begin with a PROXY protocol header (version 1 or
// 2), by which a proxy in front tells its client's address.
type ProxyProtocol uint8

// The choices. ProxyOff is the default.
const (
	ProxyOff ProxyProtocol = iota // a header is a bad request
	// ProxyOptional takes a header from a trusted proxy when there is one. From anybody
	// else it is a bad request.
	ProxyOptional
	// ProxyRequired takes connections from trusted proxies only, and wants a header of each.
	ProxyRequired
)

// normalTrusted is a list of trusted proxies in the form that trusts looks them up in.
// IPv4 has two forms; in the mapped one (::ffff:192.0.2.0/120) it would never be found.
func normalTrusted(given []netip.Prefix) ([]netip.Prefix, error) {
	trusted := make([]netip.Prefix, len(given))
	for i, p := range given {
		if !p.IsValid() {
			return nil, fmt.Errorf("trusted proxies: entry %d isn't a valid prefix", i)
		}
		if p.Addr().Is4In6() {
			if p.Bits() < 96 {
				return nil, fmt.Errorf("trusted proxies: %v is partly IPv4 and partly IPv6", p)
			}
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		trusted[i] = p.Masked()
	}
	return trusted, nil
}

// trusts is whether a proxy at that address is believed. Loopback is, like any other,
// only if it is listed.
func (o *Options) trusts(addr netip.Addr) bool {
	addr = addr.WithZone("") // a prefix has no zone, and so contains no address with one
	for _, p := range o.Accept.TrustedProxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// fronted is whether a connection from addr may begin with a header that is believed.
func (o *Options) fronted(addr netip.Addr) bool {
	return o.Accept.ProxyProtocol != ProxyOff && o.trusts(addr)
}

// uninvited is whether a connection from addr isn't wanted at all.
func (o *Options) uninvited(addr netip.Addr) bool {
	return o.Accept.ProxyProtocol == ProxyRequired && !o.trusts(addr)
}
