package hub

import (
	"strings"
	"testing"
)

// PROTOCOL 7: -origins is "same host or none" by default, an allowlist otherwise.
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
		{"with a path", nil, "https://example.com/", "example.com", false},

		{"listed", []string{"https://app.example.com"}, "https://app.example.com", "x", true},
		{"listed with a slash behind", []string{"https://app.example.com/"}, "https://app.example.com", "x", true},
		{"wildcard of localhost", []string{"http://*.localhost:3000"}, "http://app.localhost:3000", "x", true},
		{"listed second", []string{"https://a.example", " https://b.example "}, "https://b.example", "x", true},
		{"listed, default port spelled out", []string{"https://app.example.com:443"}, "https://app.example.com", "x", true},
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

		{"everyone", []string{"*"}, "https://evil.example", "example.com", true},
		{"everyone, null too", []string{"*"}, "null", "example.com", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			list, err := ParseOrigins(tt.list)
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
		"https://a.example//", "https://*.com", "https://*.", "https://a.example?x", "https://u@a.example", "https://a.*.example",
		"https://*.*.example", "https://*", "https://a.example:", "https://a example",
	} {
		_, err := ParseOrigins([]string{"https://fine.example", entry})
		if err == nil {
			t.Errorf("ParseOrigins(%q) gave no error", entry)
			continue
		}
		if !strings.Contains(err.Error(), "-origins") || !strings.Contains(err.Error(), entry) {
			t.Errorf("ParseOrigins(%q): the error names neither flag nor entry: %v", entry, err)
		}
	}
}
