package main

import (
	"fmt"
	"net"
	"net/netip"
)

// examineProxies judges whom -trusted-proxies trusts, and whether as many connections as
// are meant can come from there.
func examineProxies(trusted []netip.Prefix, listen string, connections int64) finding {
	f := finding{verdict: fine, what: "-trusted-proxies " + joinPrefixes(trusted)}
	if p, ok := trustsEverybody(trusted); ok {
		f.verdict = warn
		f.meaning = fmt.Sprintf("%s is everybody: whoever reaches the port can claim any address, and -max-per-ip bounds nobody.", p)
		f.fix = []string{"busbar -trusted-proxies ADDRESS,ADDRESS   # the proxies' own"}
		return f
	}
	f.meaning = "What they say of a client's address is believed."
	addresses, counted := proxyAddresses(trusted)
	if !counted || everyAddress(listen) {
		return f
	}
	// TCP tells connections apart by both ends' addresses and ports.
	const ports = 65_535 - 1024 + 1
	if most := int64(addresses) * ports; connections > most {
		f.verdict, f.byNumber = warn, true
		f.meaning += fmt.Sprintf(" %s can have at most %d connections to %s. %d take %d addresses there, or -listen on every address "+
			"of this host, and proxies that use several of them.",
			plural(addresses, "address", "addresses"), most, listen, connections, (connections+ports-1)/ports)
		f.fix = []string{"busbar -trusted-proxies ADDRESS,ADDRESS -listen :" + portIn(listen)}
	}
	return f
}

// trustsEverybody finds the entry of a list that has all addresses.
func trustsEverybody(trusted []netip.Prefix) (everybody netip.Prefix, ok bool) {
	for _, p := range trusted {
		if p.Bits() == 0 {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// proxyAddresses is how many addresses a list has, when there are no networks on it.
func proxyAddresses(trusted []netip.Prefix) (n int, counted bool) {
	for _, p := range trusted {
		if !p.IsSingleIP() {
			return 0, false
		}
	}
	return len(trusted), true
}

// everyAddress is whether a listener has more addresses than one.
func everyAddress(listen string) bool {
	host, _, _ := net.SplitHostPort(listen)
	addr, err := netip.ParseAddr(host)
	return host == "" || err == nil && addr.IsUnspecified()
}
