package wsproto

import "net/netip"

// The standard library reads an address from a string, which its error may keep, so that
// one has to be made of bytes on the heap. These read bytes, and refuse zones: no address
// that came over a network has one. Fuzzing compares them to net/netip.

// parseIPv4 reads four numbers with dots between them, none with a zero in front.
func parseIPv4(p []byte) (netip.Addr, bool) {
	var a [4]byte
	for i := range a {
		value, n := decimal(p, 255)
		if n == 0 {
			return netip.Addr{}, false
		}
		a[i], p = byte(value), p[n:]
		if i == len(a)-1 {
			break
		}
		if len(p) == 0 || p[0] != '.' {
			return netip.Addr{}, false
		}
		p = p[1:]
	}
	return netip.AddrFrom4(a), len(p) == 0
}

// parseIPv6 reads the forms of RFC 4291 2.2, also that with an IPv4 address at its end,
// which is how inet_ntop(3), and so proxies, write a client of an IPv6 socket that uses IPv4.
func parseIPv6(p []byte) (netip.Addr, bool) {
	var a [16]byte
	at, gap := 0, -1 // bytes that are there, and where among them :: stands
	if len(p) >= 2 && p[0] == ':' && p[1] == ':' {
		gap, p = 0, p[2:]
	}
	for len(p) > 0 {
		value, n := hextet(p)
		if n == 0 || at == len(a) {
			return netip.Addr{}, false
		}
		if n < len(p) && p[n] == '.' {
			v4, ok := parseIPv4(p)
			if !ok || at > len(a)-4 {
				return netip.Addr{}, false
			}
			embedded := v4.As4()
			at += copy(a[at:], embedded[:])
			break
		}
		a[at], a[at+1] = byte(value>>8), byte(value)
		at, p = at+2, p[n:]
		if len(p) == 0 {
			break
		}
		if p[0] != ':' || len(p) == 1 {
			return netip.Addr{}, false
		}
		if p = p[1:]; p[0] == ':' {
			if gap >= 0 {
				return netip.Addr{}, false
			}
			gap, p = at, p[1:]
		}
	}
	return spreadGap(a, at, gap)
}

// spreadGap puts the zeros in that :: stands for, at least 16 bits of them.
func spreadGap(a [16]byte, n, gap int) (netip.Addr, bool) {
	if gap < 0 {
		return netip.AddrFrom16(a), n == len(a)
	}
	if n == len(a) {
		return netip.Addr{}, false
	}
	zeros := len(a) - n
	copy(a[gap+zeros:], a[gap:n])
	clear(a[gap : gap+zeros])
	return netip.AddrFrom16(a), true
}

// decimal reads the number that p begins with, of n digits; n is 0 for none, one above
// most, and one with a zero in front.
func decimal(p []byte, most int) (value, n int) {
	for n < len(p) && isDigit(p[n]) {
		value = 10*value + int(p[n]-'0')
		if n++; value > most || n > 1 && p[0] == '0' {
			return 0, 0
		}
	}
	return value, n
}

// hextet reads up to four hexadecimal digits, as far as they go.
func hextet(p []byte) (value, n int) {
	for n < min(len(p), 4) {
		digit := hexDigit(p[n])
		if digit < 0 {
			break
		}
		value = value<<4 | digit
		n++
	}
	return value, n
}
