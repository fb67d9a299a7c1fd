package admission

import (
	"errors"
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

// Proxies are those in front of a server. Loopback is one, like any other, only if it is listed.
type Proxies struct {
	protocol ProxyProtocol
	trusted  []netip.Prefix
}

// NewProxies takes the addresses that proxies connect from. IPv4 has two forms, of which the mapped
// one (::ffff:192.0.2.0/120) would never be found, and is made the other.
func NewProxies(protocol ProxyProtocol, trusted []netip.Prefix) (Proxies, error) {
	switch {
	case protocol > ProxyRequired:
		return Proxies{}, fmt.Errorf("proxy protocol: %d is none of the choices", protocol)
	case protocol != ProxyOff && len(trusted) == 0:
		return Proxies{}, errors.New("trusted proxies: none; list the addresses that proxies connect from, or switch the PROXY protocol off")
	}
	known := Proxies{protocol, make([]netip.Prefix, len(trusted))}
	for i, p := range trusted {
		if !p.IsValid() {
			return Proxies{}, fmt.Errorf("trusted proxies: entry %d isn't a valid prefix", i)
		}
		if p.Addr().Is4In6() {
			if p.Bits() < 96 {
				return Proxies{}, fmt.Errorf("trusted proxies: %v is partly IPv4 and partly IPv6", p)
			}
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		known.trusted[i] = p.Masked()
	}
	return known, nil
}

// Peer is whether a connection from addr may begin with a header that is believed, or else, under
// ProxyRequired, isn't wanted at all.
func (p *Proxies) Peer(addr netip.Addr) (believed, unwanted bool) {
	if p.protocol == ProxyOff {
		return false, false
	}
	addr = addr.WithZone("") // a prefix has no zone, and so contains no address with one
	for _, trusted := range p.trusted {
		if trusted.Contains(addr) {
			return true, false
		}
	}
	return false, p.protocol == ProxyRequired
}

// NeedsHeader is whether a trusted proxy's connection must begin with one.
func (p *Proxies) NeedsHeader() bool { return p.protocol == ProxyRequired }

// Sources are where a loop's clients come from, by slot: 17 bytes each, without a pointer, so that
// nothing else has to keep it. Owned by the loop.
type Sources []source

type source struct {
	addr    [16]byte // the socket's peer, or what a trusted proxy has said
	awaited bool     // a proxy's header isn't here yet; nothing counts for any address
}

// Of is the address of the client in a slot, never an IPv4 address in IPv6's form; and whether a
// proxy has still to say what it really is.
func (s Sources) Of(slot uint32) (addr netip.Addr, awaited bool) {
	var from source
	if int(slot) < len(s) {
		from = s[slot]
	}
	return netip.AddrFrom16(from.addr).Unmap(), from.awaited
}

// Set is for a client that has come, or that a proxy has told of.
func (s *Sources) Set(slot uint32, addr netip.Addr, awaited bool) {
	if missing := int(slot) + 1 - len(*s); missing > 0 {
		*s = append(*s, make([]source, missing)...)
	}
	(*s)[slot] = source{addr.As16(), awaited}
}

// Forget is for a client that has gone.
func (s Sources) Forget(slot uint32) {
	if int(slot) < len(s) {
		s[slot] = source{}
	}
}
