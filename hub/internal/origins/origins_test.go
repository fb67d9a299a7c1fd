package origins

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// docs/protocol.md section 7: -origins is "same host or none" by default, an allowlist otherwise.
func TestOriginsAllow(t *testing.T) {
	tests := []struct {
		name         string
		list         []string
		origin, host string
		want         bool
	}{
		{"no header", nil, "", "example.com", true},
		{"no header, with a list", []string{"https://a.example"}, "", "example.com", true},
		{"same host", nil, "https://example.com", "example.com", true},
		{"same host, the page's port and the WebSocket's", nil, "http://localhost:4321", "localhost:4322", true},
		{"same host in other case", nil, "https://Example.COM", "example.com:4322", true},
		{"same IPv6 host", nil, "http://[::1]:4321", "[::1]:4322", true},
		{"same IPv6 host without port", nil, "http://[::1]", "[::1]", true},
		{"foreign host", nil, "https://evil.example", "example.com", false},
		{"host as a prefix", nil, "https://example.com.evil.example", "example.com", false},
		{"host in the user part", nil, "https://example.com@evil.example", "example.com", false},
		{"null", nil, "null", "example.com", false},
		{"not an origin", nil, "example.com", "example.com", false},
		{"empty hosts don't match", nil, "http://:80", "", false},
		{"a slash behind, as a client that isn't a browser sends it", nil, "http://localhost/", "localhost:4322", true},
		{"two slashes behind", nil, "http://localhost//", "localhost", false},
		{"a path", nil, "https://example.com/path", "example.com", false},
		{"a query", nil, "https://example.com?", "example.com", false},
		{"an empty port", nil, "https://example.com:", "example.com", false},
		{"a port that is none", nil, "https://example.com:99999", "example.com", false},
		{"an origin without a scheme", nil, "://example.com", "example.com", false},
		{"a dot behind names another host", nil, "https://example.com.", "example.com", false},
		{"a dot behind both", nil, "https://example.com.", "example.com.:4322", true},
		{"same IPv6 host, spelled otherwise", nil, "http://[::1]", "[0:0:0:0:0:0:0:1]:4322", true},
		{"same IPv6 host, that of an IPv4 address", nil, "http://[::ffff:7f00:1]", "[::FFFF:127.0.0.1]:4322", true},
		{"another IPv6 host", nil, "http://[::2]", "[::1]:4322", false},
		{"half an IPv6 host", nil, "http://[:1]", "[:1]", false},
		{"an IPv6 host without brackets", nil, "http://::1", "[::1]", false},
		{"an IPv6 host with a zone", nil, "http://[fe80::1%25eth0]", "[fe80::1%25eth0]", false},
		{"an IPv4 host in brackets", nil, "http://[127.0.0.1]", "127.0.0.1", false},
		{"same host with an umlaut", nil, "https://xn--bcher-kva.example", "b\u00fccher.example:4322", true},
		{"same host with an underscore", nil, "http://my_host:3000", "my_host:4322", true},
		{"an escape for a dot", nil, "https://example%2ecom", "example.com", false},

		{"listed", []string{"https://app.example.com"}, "https://app.example.com", "x", true},
		{"listed with a slash behind", []string{"https://app.example.com/"}, "https://app.example.com", "x", true},
		{"wildcard of localhost", []string{"http://*.localhost:3000"}, "http://app.localhost:3000", "x", true},
		{"listed second", []string{"https://a.example", " https://b.example "}, "https://b.example", "x", true},
		{"listed, default port spelled out", []string{"https://app.example.com:443"}, "https://app.example.com", "x", true},
		{"listed without the slash that is sent", []string{"https://app.example.com"}, "https://app.example.com/", "x", true},
		{"listed, default port sent", []string{"http://app.example.com"}, "http://app.example.com:80", "x", true},
		{"listed, the other scheme's default port", []string{"http://app.example.com"}, "http://app.example.com:443", "x", false},
		{"listed in other case", []string{"HTTPS://App.Example.COM"}, "https://app.example.com", "x", true},
		{"listed with an umlaut", []string{"https://B\u00dccher.example"}, "https://xn--bcher-kva.example", "x", true},
		{"listed as punycode", []string{"https://XN--Bcher-kva.example"}, "https://xn--bcher-kva.example", "x", true},
		{"listed with an umlaut in two characters", []string{"https://bu\u0308cher.example"}, "https://xn--bcher-kva.example", "x", true},
		{"listed with a sharp s, which isn't ss", []string{"https://stra\u00dfe.example"}, "https://strasse.example", "x", false},
		{"listed with a sharp s", []string{"https://stra\u00dfe.example"}, "https://xn--strae-oqa.example", "x", true},
		{"listed IPv6 address", []string{"https://[2001:db8:0::1]:8443"}, "https://[2001:db8::1]:8443", "x", true},
		{"a dot behind a listed name", []string{"https://app.example.com"}, "https://app.example.com.", "x", false},
		{"listed with a dot behind", []string{"https://app.example.com."}, "https://app.example.com.", "x", true},
		{"null isn't on a list", []string{"https://app.example.com"}, "null", "null", false},
		{"listed, other port", []string{"http://localhost:3000"}, "http://localhost:3001", "localhost", false},
		{"listed, other scheme", []string{"https://app.example.com"}, "http://app.example.com", "x", false},
		{"a list replaces the own host", []string{"https://app.example.com"}, "https://example.com", "example.com", false},

		{"wildcard", []string{"https://*.example.com"}, "https://app.example.com", "x", true},
		{"wildcard, deeper", []string{"https://*.example.com"}, "https://a.b.example.com", "x", true},
		{"wildcard isn't the domain", []string{"https://*.example.com"}, "https://example.com", "x", false},
		{"wildcard isn't the empty label", []string{"https://*.example.com"}, "https://.example.com", "x", false},
		{"wildcard isn't a suffix", []string{"https://*.example.com"}, "https://evilexample.com", "x", false},
		{"wildcard, other port", []string{"https://*.example.com"}, "https://app.example.com:8443", "x", false},
		{"wildcard, other scheme", []string{"https://*.example.com"}, "http://app.example.com", "x", false},

		{"wildcard below an umlaut", []string{"https://*.b\u00fccher.example"}, "https://app.xn--bcher-kva.example", "x", true},
		{"wildcard, default port spelled out", []string{"https://*.example.com:443"}, "https://app.example.com", "x", true},

		{"everyone", []string{"*"}, "https://evil.example", "example.com", true},
		{"everyone, null too", []string{"*"}, "null", "example.com", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			list, err := Parse(tt.list)
			if err != nil {
				t.Fatal(err)
			}
			if got := list.Allow(tt.origin, tt.host); got != tt.want {
				t.Errorf("Allow(%q, %q) with %q = %v, want %v", tt.origin, tt.host, tt.list, got, tt.want)
			}
		})
	}
}

func TestParseOriginsNamesTheEntry(t *testing.T) {
	for _, entry := range []string{
		"", "null", "app.example.com", "*.example.com", "https://", "https://a.example/path",
		"https://a.example//", "https://a.example:0", "https://a.example:65536", "https://[:1]", "https://a\u0000.example", "https://\u00ad", "https://*.com", "https://*.", "https://a.example?x", "https://u@a.example", "https://a.*.example",
		"https://*.*.example", "https://*", "https://a.example:", "https://a example",
	} {
		_, err := Parse([]string{"https://fine.example", entry})
		if err == nil {
			t.Errorf("Parse(%q) gave no error", entry)
			continue
		}
		if !strings.Contains(err.Error(), "-origins") || !strings.Contains(err.Error(), strconv.Quote(entry)) {
			t.Errorf("Parse(%q): the error names neither flag nor entry: %v", entry, err)
		}
	}
}

// What a log says of a refused origin is bounded, and what it says to do helps.
func TestRefusedOriginsAreExplained(t *testing.T) {
	list := []string{"https://a.example"}
	for _, tt := range []struct {
		list           []string
		header, remedy string
	}{
		{nil, "https://App.Example.com:443/", "-origins https://app.example.com, and"},
		{nil, "http://[::1]:3000", "-origins http://[::1]:3000, and"},
		{list, "https://b\u00fccher.example", "add https://xn--bcher-kva.example to -origins"},
		{list, "null", "-origins * alone"},
		{list, "https://a.example/path", "none: this isn't an origin"},
		{list, strings.Repeat("x", 8000), "none: this isn't an origin"},
		{list, "https://" + strings.Repeat("x", 8000), "none: this isn't an origin"},
	} {
		origins, err := Parse(tt.list)
		if err != nil {
			t.Fatal(err)
		}
		args := origins.LogArgs(tt.header)
		if said := fmt.Sprint(args...); !strings.Contains(said, tt.remedy) || len(said) > 512 {
			t.Errorf("%.80q: %d bytes, %.512q, want %q", tt.header, len(said), said, tt.remedy)
		}
		remedied, found := strings.CutPrefix(tt.remedy, "add ")
		if !found {
			continue
		}
		origins, err = Parse(append(tt.list, strings.TrimSuffix(remedied, " to -origins")))
		if err != nil || !origins.Allow(tt.header, "x") {
			t.Errorf("%q: what is said to allow it doesn't (%v)", tt.header, err)
		}
	}
}
