// Package origins says which web pages may talk to a server.
package origins

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"

	"github.com/busbar-ws/busbar/hub/internal/trouble"
)

// List says which web pages may talk to this server, over the WebSocket and over
// HTTP alike. It is immutable, so it may be copied and used from any goroutine.
//
// The zero value allows pages of the host that they call, on any port. It ignores the
// port because the pages (port P) and the WebSocket (port P+1) are one service,
// and may do so because nothing here is authorised by cookies: a page without a token can do nothing.
//
// Requests without an Origin header don't come from a web page and are always
// allowed: the header protects browsers' users, not the server.
type List struct {
	any       bool
	exact     map[origin]struct{}
	wildcards []origin // host is the part after "*", so it starts with a dot
}

// Parse reads an allowlist. An entry is an origin ("https://app.example.com",
// "http://localhost:3000"), an origin whose host starts with "*." for all names below
// a domain, at any depth and without the domain itself, or "*" for every origin.
// No entries: the zero value. With entries, pages of the server's own host need one too.
func Parse(entries []string) (List, error) {
	var list List
	for _, entry := range entries {
		if err := list.add(strings.TrimSpace(entry)); err != nil {
			return List{}, err
		}
	}
	return list, nil
}

func (l *List) add(entry string) error {
	if entry == "*" {
		l.any = true
		return nil
	}
	scheme, rest, _ := strings.Cut(entry, "://")
	below, isWildcard := strings.CutPrefix(rest, "*.")
	o, ok := parseOrigin(scheme + "://" + below)
	switch {
	case strings.Contains(below, "*"):
		return fmt.Errorf(`-origins: %q: "*" can only stand for the first part of a host, as in https://*.example.com`, entry)
	case !ok:
		return fmt.Errorf("-origins: %q is not an origin: write it as a browser sends it, such as "+
			"https://app.example.com, https://*.example.com or http://localhost:3000 (no path), or * for all", entry)
	case isWildcard && !strings.Contains(o.host, ".") && o.host != "localhost":
		return fmt.Errorf("-origins: %q stands for a whole top-level domain: name the domain below it, as in https://*.example.com", entry)
	case isWildcard:
		o.host = "." + o.host
		l.wildcards = append(l.wildcards, o)
		return nil
	case l.exact == nil:
		l.exact = make(map[origin]struct{})
	}
	l.exact[o] = struct{}{}
	return nil
}

// Allow reports whether a request with this Origin header may be served; host is the
// request's Host header. An origin header of "null" (sandboxed pages, files) is
// allowed by "*" alone.
func (l List) Allow(header, host string) bool {
	if header == "" || l.any {
		return true
	}
	o, ok := parseOrigin(header)
	if !ok {
		return false
	}
	if l.isOwnHost() {
		name, _, ok := parseHost(host)
		return ok && o.host == name
	}
	if _, ok := l.exact[o]; ok {
		return true
	}
	for _, w := range l.wildcards {
		if o.scheme == w.scheme && o.port == w.port &&
			len(o.host) > len(w.host) && strings.HasSuffix(o.host, w.host) {
			return true
		}
	}
	return false
}

func (l List) isOwnHost() bool { return len(l.exact) == 0 && len(l.wildcards) == 0 }

// LogArgs is what a log should say of an Origin header that isn't allowed: the header, at a bounded
// length since anybody can send one, and what would allow it.
func (l List) LogArgs(header string) []any {
	remedy := "none: this isn't an origin"
	switch o, ok := parseOrigin(header); {
	case header == "null":
		remedy = "-origins * alone, which lets in every page"
	case ok && l.isOwnHost():
		remedy = "-origins " + o.String() + ", and the server's own pages' origin beside it"
	case ok:
		remedy = "add " + o.String() + " to -origins"
	}
	return []any{"origin", trouble.Shortened(header), "remedy", remedy}
}

// origin is an origin as RFC 6454 section 4 defines it: scheme and host in lower case, the
// host in its ASCII form, and the port, which is 0 where it is the scheme's default.
type origin struct {
	scheme, host string
	port         uint16
}

// parseOrigin reads scheme "://" host [ ":" port ], all that RFC 6454 section 6.2 lets a browser send
// besides "null". A slash behind is let pass: people copy it, and some clients send it.
func parseOrigin(s string) (o origin, ok bool) {
	scheme, authority, _ := strings.Cut(s, "://")
	o.scheme = strings.ToLower(scheme)
	if !isScheme(o.scheme) {
		return o, false
	}
	if o.host, o.port, ok = parseHost(strings.TrimSuffix(authority, "/")); !ok {
		return o, false
	}
	if o.port == 80 && (o.scheme == "http" || o.scheme == "ws") || o.port == 443 && (o.scheme == "https" || o.scheme == "wss") {
		o.port = 0
	}
	return o, true
}

// String is the origin as a browser sends it.
func (o origin) String() string {
	host := o.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if o.port != 0 {
		host += ":" + strconv.Itoa(int(o.port))
	}
	return o.scheme + "://" + host
}

// isScheme is RFC 3986 section 3.1, of what is in lower case already.
func isScheme(s string) bool {
	for i, c := range []byte(s) {
		if letter := 'a' <= c && c <= 'z'; !letter && (i == 0 || !strings.ContainsRune("0123456789+-.", rune(c))) {
			return false
		}
	}
	return s != "" && len(s) <= maxScheme
}

const (
	maxScheme = 32
	maxHost   = 254 // RFC 1035 section 2.3.4, with a dot behind
)

// parseHost reads host [ ":" port ] into a host that can be compared: an IPv6 address without its
// brackets and in its shortest form (RFC 5952), a name in lower case and as punycode. The port is 0
// where there is none.
func parseHost(s string) (host string, port uint16, ok bool) {
	if colon := strings.LastIndexByte(s, ':'); colon > strings.LastIndexByte(s, ']') {
		n, err := strconv.ParseUint(s[colon+1:], 10, 16)
		if err != nil || n == 0 {
			return "", 0, false
		}
		s, port = s[:colon], uint16(n)
	}
	if inner, bracketed := strings.CutPrefix(s, "["); bracketed {
		address, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		return address.String(), port, err == nil && address.Is6() && address.Zone() == "" && len(inner) > 0 && inner[len(inner)-1] == ']'
	}
	host, ok = asciiHost(s)
	return host, port, ok
}

// punycode turns names into ASCII as browsers do (URL standard, "domain to ASCII").
var punycode = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.BidiRule(), idna.CheckJoiners(true),
	idna.CheckHyphens(false), idna.StrictDomainName(false))

// asciiHost is a name, or an IPv4 address, as browsers spell it.
func asciiHost(name string) (string, bool) {
	if len(name) > maxHost {
		return "", false
	}
	for i := range len(name) {
		if name[i] >= 0x80 {
			var err error
			if name, err = punycode.ToASCII(name); err != nil || len(name) > maxHost {
				return "", false
			}
			break
		}
	}
	for _, c := range []byte(name) { // URL standard, "forbidden domain code point"
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`#%/:<>?@[\]^|`+"`,;*\"{}", c) >= 0 {
			return "", false
		}
	}
	return strings.ToLower(name), name != ""
}
