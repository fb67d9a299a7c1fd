package main

import (
	"log/slog"
	"net/netip"
	"strings"

	"github.com/busbar-ws/busbar/eventloop"
)

// TrustedProxies declares the list of addresses that proxies connect from.
func (t *flagTable) TrustedProxies(p *[]netip.Prefix) *setting {
	return t.add(&setting{
		name: "trusted-proxies", unit: "list",
		meaning: "addresses and networks that proxies connect from, separated by commas: 127.0.0.1, 10.0.0.0/8; " +
			"what they say of a client's address is believed, so let nobody else connect from there",
		accepts: "a list of addresses and networks such as 127.0.0.1,10.0.0.0/8,2001:db8::/32",
		store: func(text string) bool {
			prefixes, ok := parsePrefixes(text)
			return store(p, prefixes, ok)
		},
	})
}

// parsePrefixes reads a list; blank entries are left out.
func parsePrefixes(text string) (prefixes []netip.Prefix, ok bool) {
	for entry := range strings.SplitSeq(text, ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		prefix, ok := parsePrefix(entry)
		if !ok {
			return nil, false
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes, true
}

// parsePrefix reads a network or an address. 10.1.2.3/8 is a mistake: it could be meant as
// either, and one of the two would trust 16 million addresses too many.
func parsePrefix(text string) (netip.Prefix, bool) {
	if !strings.Contains(text, "/") {
		addr, err := netip.ParseAddr(text)
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), err == nil && addr.Zone() == ""
	}
	prefix, err := netip.ParsePrefix(text)
	if err == nil && prefix.Addr().Is4In6() {
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96) // not valid below 0
	}
	return prefix, err == nil && prefix.IsValid() && prefix == prefix.Masked()
}

func (c *Config) validateProxies() error {
	if c.Hub.Loops.Accept.ProxyProtocol != eventloop.ProxyOff && len(c.Hub.Loops.Accept.TrustedProxies) == 0 {
		return usagef("%s: %q needs -trusted-proxies with the addresses that proxies connect from, such as 127.0.0.1 or 10.0.0.0/8",
			c.source("proxy-protocol"), proxyUses[c.Hub.Loops.Accept.ProxyProtocol])
	}
	return nil
}

// warnOfTrust says that every client can claim any address.
func (c *Config) warnOfTrust(log *slog.Logger) {
	if everybody, ok := trustsEverybody(c.Hub.Loops.Accept.TrustedProxies); ok && c.Hub.Loops.Accept.ProxyProtocol != eventloop.ProxyOff {
		log.Warn("EVERYBODY IS TRUSTED (" + c.source("trusted-proxies") + " " + everybody.String() +
			"): whoever reaches the WebSocket can claim any address")
	}
}

func joinPrefixes(prefixes []netip.Prefix) string {
	texts := make([]string, len(prefixes))
	for i, p := range prefixes {
		texts[i] = p.String()
		if p.IsSingleIP() {
			texts[i] = p.Addr().String()
		}
	}
	return strings.Join(texts, ", ")
}
